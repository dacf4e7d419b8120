#!lua flags=allow-oom
-- hold: an operator pauses, drains or resumes an agent; what was deferred is decided afresh.   O(lanes)
-- KEYS   clock @derive batches holds ledger
-- ARGV   now agent hold by selector drain ledger_max
-- REPLY  {"HELD", ring?} | {"RESUMED", ring?} | {"RETHOUGHT", ring?}
-- `hold`: JSON of the hold, or nothing to take it away. `selector`: nothing for the agent's own hold; else the pattern or pool whose
-- hold changed, which lies elsewhere, or `configuration`: RETHOUGHT. `by`: nobody leaves no receipt. `drain` 1: what waits for a later time is looked at now, to be set aside.
-- INCLUDE now fence due lane batch record
local now = slot_now(K, tonumber(A.now))
-- writes
local status = 'RETHOUGHT'
if A.selector == '' and A.hold == '' then
  status = 'RESUMED'
  redis.call('HDEL', K.holds, A.agent)
elseif A.selector == '' then
  status = 'HELD'
  redis.call('HSET', K.holds, A.agent, A.hold)
end
for _, intent in ipairs(INTENTS) do
  redis.call('HDEL', K.state, 'd:' .. intent, 'w:' .. intent)
  for _, session in ipairs(A.drain == '1' and redis.call('ZRANGE', K['lane_' .. intent], 0, -1) or {}) do
    redis.call('ZADD', K['lane_' .. intent], 'LT', now, session)
  end
end
-- A parked batch that was deferred had its backoff behind it.
for _, batch in ipairs(redis.call('ZRANGE', K.parked, 0, -1)) do
  local meta = read_batch(K, batch)
  if meta and (A.drain == '1' or meta.deferred) then redis.call('ZADD', K.parked, 'LT', now, batch) end
end
local detail = { by = A.by, hold = A.hold, selector = A.selector == '' and A.agent or A.selector }
if A.by ~= '' then record(K, A, now, A.hold == '' and 'resumed' or 'held', '', '', cjson.encode(detail)) end
local lease = read_lease(K)
return { status, announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true) }
