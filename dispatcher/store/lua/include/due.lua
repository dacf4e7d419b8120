-- The due index. The score is derived here and nowhere else: lease held -> the time at which it may be taken; else the earliest over parked
-- batches and lanes of max(lane due, deferral that binds the intent, block of the target).
local INTENTS = { 'manual', 'immediate', 'event', 'task', 'scheduled', 'rider' }
local MAX_LOOK_MS = 3600000
local BELL_MS = 2000

-- block_of: parked batch id or '', until for everyone, until for all but manual.
local function block_of(K, session)
  local raw = redis.call('HGET', K.blocks, session)
  if not raw then return '', 0, 0 end
  local parked, all, rest = string.match(raw, '^([^|]*)|(%d+)|(%d+)|')
  return parked, tonumber(all), tonumber(rest)
end

local function write_block(K, session, parked, all, rest, why)
  redis.call('HSET', K.blocks, session, table.concat({ parked, string.format('%.0f', all), string.format('%.0f', rest), why }, '|'))
end

-- lane_look: the earliest look over the lanes of one intent that is better than `best`. O(lanes before the first unblocked one).
local function lane_look(K, intent, floor, blocks, best)
  local from = 0
  while true do
    local page = redis.call('ZRANGE', K['lane_' .. intent], from, from + 63, 'WITHSCORES')
    if #page == 0 then return best end
    for i = 1, #page, 2 do
      local at = math.max(tonumber(page[i + 1]), floor)
      if best and at >= best then return best end
      if not blocks then return at end
      local parked, all, rest = block_of(K, page[i])
      if parked == '' then
        at = math.max(at, all, intent == 'manual' and 0 or rest)
        if not best or at < best then best = at end
      end
    end
    from = from + 64
  end
end

-- free_due: when to look if nobody holds the agent; nil if there is no work. Reads only.
local function free_due(K)
  local best
  local parked = redis.call('ZRANGE', K.parked, 0, 0, 'WITHSCORES')
  if parked[2] then best = tonumber(parked[2]) end
  local deferred = redis.call('HMGET', K.state, 'd:manual', 'd:immediate', 'd:event', 'd:task', 'd:scheduled', 'd:event')
  local blocks = redis.call('EXISTS', K.blocks) == 1
  for i, intent in ipairs(INTENTS) do
    best = lane_look(K, intent, tonumber(deferred[i] or 0), blocks, best)
  end
  return best
end

-- derive: writes the due entry of the agent after any change; returns the due time or nil.
local function derive(K, agent, now, lease)
  local due
  if lease.holder ~= '' then due = held_until(K, lease, now) else due = free_due(K) end
  if not due then
    redis.call('ZREM', K.due, agent)
    redis.call('ZREM', K.look, agent)
    redis.call('HDEL', K.bell, agent)
    return nil
  end
  local score = math.min(due, now + MAX_LOOK_MS)
  redis.call('ZADD', K.due, score, agent)
  local bell = redis.call('HGET', K.bell, agent)
  redis.call('ZADD', K.look, bell and math.max(score, tonumber(string.match(bell, '^(%d+)'))) or score, agent)
  return due
end

-- announce: 1 if the caller must ring now. At most about one doorbell is out per agent, unless `always`.
local function announce(K, agent, now, due, lease, always)
  if not due or due > now or lease.holder ~= '' then return 0 end
  local bell = redis.call('HGET', K.bell, agent)
  if bell and not always and tonumber(string.match(bell, '^(%d+)')) > now then return 0 end
  redis.call('HSET', K.bell, agent, string.format('%.0f|%d', now + BELL_MS, BELL_MS))
  redis.call('ZADD', K.look, now + BELL_MS, agent)
  return 1
end
