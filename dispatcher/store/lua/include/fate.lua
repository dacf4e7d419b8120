-- Fates of the completions of one agent: stage|revival|inbox entries|at|detail. The fate is the deposit marker as well,
-- so it is written in the same script as the wake, and `trim` forgets it only when the inbox entry is certainly gone.

-- many: one command over a list of words (or of pairs), two thousand at a time: unpack has a bound.
local function many(command, key, words)
  for i = 1, #words, 2000 do redis.call(command, key, unpack(words, i, math.min(i + 1999, #words))) end
end

local function set_fate(K, id, stage, revival, entry, now, detail)
  redis.call('HSET', K.fates, id, table.concat({ stage, revival, entry, string.format('%.0f', now), detail }, '|'))
end

-- move_fates: the next stage of known ids; revival and entries of each stay. The entries of each.
local function move_fates(K, ids, stage, now, detail)
  local words, entries, at = {}, {}, string.format('%.0f', now)
  for i = 1, #ids, 2000 do
    for j, known in ipairs(redis.call('HMGET', K.fates, unpack(ids, i, math.min(i + 1999, #ids)))) do
      local revival, entry = string.match(known or '', '^%a+|(%d+)|([^|]*)|')
      entries[#entries + 1] = entry or ''
      words[#words + 1] = ids[i + j - 1]
      words[#words + 1] = table.concat({ stage, revival or '0', entry or '', at, detail }, '|')
    end
  end
  many('HSET', K.fates, words)
  return entries
end

-- end_fates: a final stage; the ids become trimmable. A tick is forgotten at once: nobody asks for its id, no inbox entry can bring it
-- again, and a fleet with a cadence would otherwise keep a fate for each of its turns. One that came by a handoff is not trimmable
-- before `let_go`: the dead letter that it came from may still be there, and its revival may be repeated.
local function end_fates(K, agent, ids, stage, now, detail)
  local kept, scored = {}, {}
  for _, id in ipairs(ids) do
    if string.sub(id, 1, 5) == 'tick:' and string.match(redis.call('HGET', K.fates, id) or '', '^%a+|%d+||') then
      redis.call('HDEL', K.fates, id)
    else
      kept[#kept + 1] = id
    end
  end
  for i, entry in ipairs(move_fates(K, kept, stage, now, detail)) do
    if not string.find(entry, 'from:', 1, true) then scored[#scored + 1], scored[#scored + 2] = now, kept[i] end
  end
  if #scored == 0 then return end
  many('ZADD', K.finals, scored)
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
