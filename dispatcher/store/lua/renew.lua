#!lua flags=allow-oom
-- renew: the holder of a running batch keeps its lease for one more ttl.   O(1)
-- KEYS   clock @derive batches
-- ARGV   now agent token holder batch ttl_ms
-- REPLY  {"RENEWED"} | {"CANCEL"} | {"CANCEL_RETRY"} | {"STALE_TOKEN", current} | {"NO_BATCH"} | {"OVERDUE"}
-- CANCEL, CANCEL_RETRY: it is renewed, and an operator wants the batch to end: as dead letters, or to run again.
-- An expired lease that nobody took is renewed. Before begin and after time limit + grace it is not.
-- INCLUDE now fence due batch
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
if not lease then return { 'STALE_TOKEN', current.token } end
if lease.batch == '' or lease.batch ~= A.batch then return { 'NO_BATCH' } end
if now > lease.run_until then return { 'OVERDUE' } end
-- writes
lease.ends, lease.renewal = now + tonumber(A.ttl_ms), lease.renewal + 1
write_lease(K, A.agent, lease)
derive(K, A.agent, now, lease)
local meta = read_batch(K, A.batch)
local cancel = meta and meta.cancel
return { not cancel and 'RENEWED' or cancel.retry and 'CANCEL_RETRY' or 'CANCEL' }
