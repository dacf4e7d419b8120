-- Fates of the completions of one agent: stage|revival|inbox entries|at|detail. The fate is the deposit marker as well,
-- so it is written in the same script as the wake, and `trim` forgets it only when the inbox entry is certainly gone.
local function set_fate(K, id, stage, revival, entry, now, detail)
  redis.call('HSET', K.fates, id, table.concat({ stage, revival, entry, string.format('%.0f', now), detail }, '|'))
end

-- move_fate: the next stage of a known id; revival and entries stay. The entries.
local function move_fate(K, id, stage, now, detail)
  local revival, entry = string.match(redis.call('HGET', K.fates, id) or '', '^%a+|(%d+)|([^|]*)|')
  set_fate(K, id, stage, revival or '0', entry or '', now, detail)
  return entry or ''
end

-- end_fate: a final stage; the id becomes trimmable. A tick is forgotten at once: nobody asks for its id, no inbox entry can bring it
-- again, and a fleet with a cadence would otherwise keep a fate for each of its turns. One that came by a handoff is not trimmable
-- before `let_go`: the dead letter that it came from may still be there, and its revival may be repeated.
local function end_fate(K, agent, id, stage, now, detail)
  if string.sub(id, 1, 5) == 'tick:' and string.match(redis.call('HGET', K.fates, id) or '', '^%a+|%d+||') then
    return redis.call('HDEL', K.fates, id)
  end
  if string.find(move_fate(K, id, stage, now, detail), 'from:', 1, true) then return end
  redis.call('ZADD', K.finals, now, id)
  redis.call('ZADD', K.trims, 'NX', now, agent)
end

-- count_again: another inbox entry of an id that lies here already, because the producer's dedupe time is over. It was accepted
-- again, so it is accounted for, once: the fate notes the new entry beside the old ones, comma separated. The mark of a handoff is no
-- entry: it was noted with the wake, and may have been let go since.
local function count_again(K, id, new_entry)
  local mark, behind = string.match(new_entry, '^(from:[^,]*),?(.*)$')
  if mark then new_entry = behind end
  if mark and behind == '' then return end
  local stage, revival, entries, rest = string.match(redis.call('HGET', K.fates, id), '^(%a+)|(%d+)|([^|]*)|(.*)$')
  if string.find(',' .. entries .. ',', ',' .. new_entry .. ',', 1, true) then return end
  redis.call('HINCRBY', K.counters, 'suppressed', 1)
  redis.call('HSET', K.fates, id, table.concat({ stage, revival, new_entry .. ',' .. entries, rest }, '|'))
end
