#!lua flags=allow-oom
-- drop: a dead letter of this agent is dropped for good, with a receipt.   O(log fates)
-- KEYS   clock fates finals trims dead deads counters ledger
-- ARGV   now agent id reason ledger_max
-- REPLY  {"DROPPED"} | {"NOT_DEAD"}
-- INCLUDE now fate record
local now = slot_now(K, tonumber(A.now))
if redis.call('HEXISTS', K.dead, A.id) == 0 then return { 'NOT_DEAD' } end
-- writes
redis.call('HDEL', K.dead, A.id)
if redis.call('HLEN', K.dead) == 0 then redis.call('SREM', K.deads, A.agent) end
end_fate(K, A.agent, A.id, 'dropped', now, A.reason)
redis.call('HINCRBY', K.counters, 'dropped', 1)
record(K, A, now, 'dropped', '', '', cjson.encode({ id = A.id, reason = A.reason }))
return { 'DROPPED' }
