#!lua flags=allow-oom
-- park: the batch did not end well, or its worker hands it back; it waits as it is for its next attempt.   O(1)
-- KEYS   clock @derive batches counters ledger
-- ARGV   now agent token holder batch kind delay_ms error ledger_max
-- REPLY  {"PARKED", ring?} | {"ALREADY_SETTLED"} | {"STALE_TOKEN", current} | {"NO_BATCH"}
-- `kind`: "failed" counts a failure; "handed-back" counts neither failure nor delivery and bypasses the cooldown; "busy" counts
-- neither and forgets the start of this attempt; "cancelled" is as "handed-back", and its receipt says by whom.
-- INCLUDE now fence due batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
local known = lease or current
if known.done_token == A.token and known.done_batch == A.batch then return { 'ALREADY_SETTLED' } end
if not lease then return { 'STALE_TOKEN', current.token } end
local meta = lease.batch == A.batch and read_batch(K, A.batch)
if not meta then return { 'NO_BATCH' } end
-- writes
if A.kind == 'cancelled' then A.error = cancel_words(meta) end
if A.kind == 'failed' then
  meta.failures = meta.failures + 1
  meta.errors[#meta.errors + 1] = A.error
  while #meta.errors > 5 do table.remove(meta.errors, 1) end
else
  meta.deliveries = meta.deliveries - 1
  if A.kind == 'busy' then
    if meta.started then forget_start(K, A.batch) end
  else
    meta.bypass = true
  end
end
park_batch(K, A.batch, meta, now + tonumber(A.delay_ms), now)
redis.call('HINCRBY', K.counters, 'heartbeats:' .. A.kind, 1)
redis.call('HSET', K.lease, 'done_token', A.token, 'done_batch', A.batch)
record(K, A, now, A.kind, A.token, A.batch, cjson.encode({ error = A.error, delay_ms = tonumber(A.delay_ms) }))
release(K, A.agent, lease)
return { 'PARKED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true) }
