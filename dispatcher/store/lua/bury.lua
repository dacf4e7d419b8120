#!lua flags=allow-oom
-- bury: the batch becomes dead letters as a whole, one per completion, each revivable.   O(batch)
-- KEYS   clock @derive wakes outputs frozen batches fates dead deads counters ledger
-- ARGV   now agent token holder batch reason error max_dead ledger_max
-- REPLY  {"BURIED", ring?, n} | {"ALREADY_SETTLED"} | {"STALE_TOKEN", current} | {"NO_BATCH"} | {"DEAD_FULL", count}
-- The batch is the running one of this lease, or a parked one that this lease has not begun. DEAD_FULL: nothing was written; park it.
-- A heartbeat that ends so is counted as cancelled or failed; what was begun only to be buried, or was parked, is none.
-- INCLUDE now fence due lane fate batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
local known = lease or current
if known.done_token == A.token and known.done_batch == A.batch then return { 'ALREADY_SETTLED' } end
if not lease then return { 'STALE_TOKEN', current.token } end
local meta = read_batch(K, A.batch)
if not meta or (lease.batch ~= A.batch and (lease.batch ~= '' or not redis.call('ZSCORE', K.parked, A.batch))) then return { 'NO_BATCH' } end
local count = redis.call('HLEN', K.dead)
if count + meta.n > tonumber(A.max_dead) then return { 'DEAD_FULL', count } end
-- writes
local cancelled = A.reason == 'cancelled' and cancel_words(meta) or ''
if A.error == '' then A.error = cancelled end
if A.error ~= '' then meta.errors[#meta.errors + 1] = A.error end
local ids = end_batch(K, A.batch, meta, function(id, seq, at, intent)
  local revival = string.match(redis.call('HGET', K.fates, id) or '', '^%a+|(%d+)|')
  redis.call('HSET', K.dead, id, cjson.encode({ reason = A.reason, at = now, session = meta.session, intent = intent,
    accepted_at = tonumber(at), revival = tonumber(revival or 0), attempts = meta.attempt, batch = A.batch, errors = meta.errors,
    wake = redis.call('HGET', K.wakes, seq), output = redis.call('HGET', K.outputs, seq) or '' }))
end)
move_fates(K, ids, 'dead', now, A.reason)
redis.call('SADD', K.deads, A.agent)
redis.call('HINCRBY', K.counters, 'dead:' .. A.reason, #ids)
if lease.batch == A.batch and not meta.uncounted then
  redis.call('HINCRBY', K.counters, 'heartbeats:' .. (A.reason == 'cancelled' and 'cancelled' or 'failed'), 1)
end
redis.call('HSET', K.lease, 'done_token', A.token, 'done_batch', A.batch)
record(K, A, now, 'dead-lettered', A.token, A.batch, cjson.encode({ reason = A.reason, n = #ids, why = cancelled ~= '' and cancelled or nil }))
release(K, A.agent, lease)
return { 'BURIED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true), #ids }
