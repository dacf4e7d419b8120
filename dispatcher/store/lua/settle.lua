#!lua flags=allow-oom
-- settle: the batch is done; its completions are settled and the agent is free, in one step with "anything left?".   O(batch)
-- KEYS   clock @derive wakes outputs frozen batches fates finals trims counters ledger
-- ARGV   now agent token holder batch outcome avoidable detail ledger_max
-- REPLY  {"SETTLED", ring?, n} | {"ALREADY_SETTLED"} | {"STALE_TOKEN", current} | {"NO_BATCH"}
-- INCLUDE now fence due lane fate batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
local known = lease or current
if known.done_token == A.token and known.done_batch == A.batch then return { 'ALREADY_SETTLED' } end
if not lease then return { 'STALE_TOKEN', current.token } end
if lease.batch ~= A.batch then return { 'NO_BATCH' } end
-- writes
local meta = read_batch(K, A.batch)
local ids = end_batch(K, A.batch, meta)
end_fates(K, A.agent, ids, 'settled', now, A.batch .. '|' .. A.outcome)
redis.call('HINCRBY', K.counters, 'settled', #ids)
redis.call('HINCRBY', K.counters, 'heartbeats:' .. A.outcome, 1)
if A.avoidable ~= '' then redis.call('HINCRBY', K.counters, 'avoidable:' .. A.avoidable, 1) end
redis.call('HSET', K.lease, 'done_token', A.token, 'done_batch', A.batch)
record(K, A, now, A.outcome, A.token, A.batch, A.detail)
release(K, A.agent, lease)
return { 'SETTLED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true), #ids }
