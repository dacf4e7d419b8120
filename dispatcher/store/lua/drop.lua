#!lua flags=allow-oom
-- drop: a dead letter of this agent is dropped for good, with a receipt.   O(log fates)
-- KEYS   clock fates finals trims dead deads handoffs counters ledger
-- ARGV   now agent id reason before ledger_max
-- REPLY  {"DROPPED"} | {"NOT_DEAD"} | {"HANDED_OFF", to}
-- `before`: only a letter that is older, 0 for any: one that died again since somebody looked is another letter.
-- HANDED_OFF: another agent has the completion already, or is about to.
-- INCLUDE now fate handoff record
local now = slot_now(K, tonumber(A.now))
local raw = redis.call('HGET', K.dead, A.id)
local letter = raw and cjson.decode(raw)
if not letter or (A.before ~= '0' and letter.at >= tonumber(A.before)) then return { 'NOT_DEAD' } end
local to = handed_to(K, A.id, letter)
if to then return { 'HANDED_OFF', to } end
-- writes
redis.call('HDEL', K.dead, A.id)
if redis.call('HLEN', K.dead) == 0 then redis.call('SREM', K.deads, A.agent) end
end_fates(K, A.agent, { A.id }, 'dropped', now, A.reason)
redis.call('HINCRBY', K.counters, 'dropped', 1)
record(K, A, now, 'dropped', '', '', cjson.encode({ id = A.id, reason = A.reason }))
return { 'DROPPED' }
