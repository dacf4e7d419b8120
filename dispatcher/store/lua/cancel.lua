#!lua flags=allow-oom
-- cancel: an operator wants the running heartbeat to end; its holder hears of it at its next renewal.   O(1)
-- KEYS   clock lease batches ledger
-- ARGV   now agent token batch by reason retry ledger_max
-- REPLY  {"CANCELLING"} | {"ALREADY", by} | {"NOT_RUNNING"} | {"CHANGED", token, batch}
-- `token`, `batch`: the heartbeat that the operator saw. The mark lies in that batch, so that no other can meet it, and outlives the
-- holder: what is lost with it becomes dead letters as well. `retry` 1: the batch runs again instead, and then the mark is gone.
-- INCLUDE now fence batch record
local now = slot_now(K, tonumber(A.now))
local lease = read_lease(K)
if lease.holder == '' or lease.batch == '' then return { 'NOT_RUNNING' } end
if lease.token ~= A.token or lease.batch ~= A.batch then return { 'CHANGED', lease.token, lease.batch } end
local meta = read_batch(K, A.batch)
if not meta then return { 'NOT_RUNNING' } end
if meta.cancel then return { 'ALREADY', meta.cancel.by } end
-- writes
local retry = A.retry == '1'
meta.cancel = { by = A.by, reason = A.reason, at = now, retry = retry }
write_batch(K, A.batch, meta)
record(K, A, now, 'cancel-asked', lease.token, A.batch, cjson.encode({ by = A.by, reason = A.reason, retry = retry }))
return { 'CANCELLING' }
