-- The due index. The score is derived here and nowhere else: lease held -> the time at which it may be taken; else the earliest over parked
-- batches and lanes of max(lane due, deferral that binds the intent, block of the target). An agent without work that has a cadence
-- is looked at when it ticks; ticks are in real time, and a look at one may lie further ahead than a look at work.
local INTENTS = { 'manual', 'immediate', 'event', 'task', 'scheduled', 'rider', 'deep' }
local LIKELY = { 'event', 'scheduled', 'manual', 'immediate', 'task', 'rider', 'deep' }
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

-- end_block: nothing is parked for the session any more; a busy target blocks on.
local function end_block(K, session, all, rest)
  if all == 0 and rest == 0 then redis.call('HDEL', K.blocks, session) else write_block(K, session, '', all, rest, 'busy') end
end

-- first_pages: the first 64 lanes of each intent that has any. Most agents have one: how many there are is asked first.
local function first_pages(K)
  local pages = {}
  local left = redis.call('EXISTS', K.lane_event, K.lane_scheduled, K.lane_manual, K.lane_immediate, K.lane_task, K.lane_rider, K.lane_deep)
  for _, intent in ipairs(LIKELY) do
    if left == 0 then return pages end
    local page = redis.call('ZRANGE', K['lane_' .. intent], 0, 63, 'WITHSCORES')
    if #page > 0 then pages[intent], left = page, left - 1 end
  end
  return pages
end

-- lane_look: the earliest look over the lanes of one intent that is better than `best`. O(lanes before the first unblocked one).
local function lane_look(K, intent, page, floor, blocks, best)
  local from = 0
  while #page > 0 do
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
    page = #page == 128 and redis.call('ZRANGE', K['lane_' .. intent], from, from + 63, 'WITHSCORES') or {}
  end
  return best
end

-- tick_due: when the cadence of this agent wants a look, in slot time; nil without one.
local function tick_due(K, agent, deferred, given)
  local tick = given or redis.call('HGET', K.ticks, agent)
  if not tick or tick == '' then return nil end
  local at = tonumber(string.match(tick, '^%d+')) + tonumber(redis.call('HGET', K.clock, 'offset') or 0)
  return math.max(at, deferred)
end

-- free_due: two times, nil where there is none: when to look if nobody holds the agent, and when to look at its work alone, without
-- the cadence. Reads only.
-- `seen`: what the caller just read: `pages`, `parked`, `tick`, and `deferred`, until when each intent is, if not as it is recorded.
local function free_due(K, agent, seen)
  local best
  seen = seen or {}
  local parked = seen.parked or redis.call('ZRANGE', K.parked, 0, 0, 'WITHSCORES')
  if parked[2] then best = tonumber(parked[2]) end
  local deferred = seen.deferred or redis.call('HMGET', K.state, 'd:manual', 'd:immediate', 'd:event', 'd:task', 'd:scheduled', 'd:event', 'd:deep')
  local pages = seen.pages or first_pages(K)
  local blocks = next(pages) and redis.call('EXISTS', K.blocks) == 1
  for i, intent in ipairs(INTENTS) do
    if pages[intent] then best = lane_look(K, intent, pages[intent], tonumber(deferred[i] or 0), blocks, best) end
  end
  local tick = tick_due(K, agent, tonumber(deferred[5] or 0), seen.tick)
  return tick and math.min(tick, best or tick) or best, best
end

-- derive: writes the due entry of the agent after any change; returns the due time or nil.
local function derive(K, agent, now, lease)
  local due, work
  if lease.holder ~= '' then
    due = held_until(K, lease, now)
    work = due
  else
    due, work = free_due(K, agent)
  end
  if work then redis.call('ZADD', K.due, math.min(work, now + MAX_LOOK_MS), agent) else redis.call('ZREM', K.due, agent) end
  if not due then
    redis.call('ZREM', K.look, agent)
    redis.call('HDEL', K.bell, agent)
    return nil
  end
  local score = work and math.min(due, now + MAX_LOOK_MS) or due
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
