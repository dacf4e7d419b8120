#!lua flags=allow-oom
-- drop: a dead letter of this agent is dropped for good, with a receipt.   O(log fates)
-- KEYS   clock fates finals trims dead deads counters ledger
-- ARGV   now agent id reason before ledger_max
-- REPLY  {"DROPPED"} | {"NOT_DEAD"}
-- `before`: only a letter that is older, 0 for any: one that died again since somebody looked is another letter.
-- INCLUDE now fate record
local now = slot_now(K, tonumber(A.now))
local raw = redis.call('HGET', K.dead, A.id)
if not raw or (A.before ~= '0' and cjson.decode(raw).at >= tonumber(A.before)) then return { 'NOT_DEAD' } end
-- writes
redis.call('HDEL', K.dead, A.id)
if redis.call('HLEN', K.dead) == 0 then redis.call('SREM', K.deads, A.agent) end
end_fate(K, A.agent, A.id, 'dropped', now, A.reason)
redis.call('HINCRBY', K.counters, 'dropped', 1)
record(K, A, now, 'dropped', '', '', cjson.encode({ id = A.id, reason = A.reason }))
return { 'DROPPED' }
