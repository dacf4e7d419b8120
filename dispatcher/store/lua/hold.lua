#!lua flags=allow-oom
-- hold: an operator pauses, drains or resumes an agent; what was deferred is decided afresh.   O(lanes)
-- KEYS   clock @derive batches holds ledger
-- ARGV   now agent hold by ledger_max
-- REPLY  {"HELD", ring?} | {"RESUMED", ring?} | {"RETHOUGHT", ring?}
-- `hold`: JSON of the hold, nothing to take it away, or `keep`, when what changed is a hold of a pattern or a pool.
-- INCLUDE now fence due lane batch record
local now = slot_now(K, tonumber(A.now))
-- writes
local status = 'RETHOUGHT'
if A.hold == '' then
  status = 'RESUMED'
  redis.call('HDEL', K.holds, A.agent)
elseif A.hold ~= 'keep' then
  status = 'HELD'
  redis.call('HSET', K.holds, A.agent, A.hold)
end
for _, intent in ipairs(INTENTS) do redis.call('HDEL', K.state, 'd:' .. intent, 'w:' .. intent) end
-- A parked batch that was deferred had its backoff behind it.
for _, batch in ipairs(redis.call('ZRANGE', K.parked, 0, -1)) do
  if read_batch(K, batch).deferred then redis.call('ZADD', K.parked, 'LT', now, batch) end
end
if A.hold ~= 'keep' then
  record(K, A, now, status == 'HELD' and 'held' or 'resumed', '', '', cjson.encode({ by = A.by, hold = A.hold }))
end
local lease = read_lease(K)
return { status, announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true) }
