#!lua flags=allow-oom
-- resume: start a parked batch again, unchanged, as its next attempt.   O(batch)
-- KEYS   clock @derive wakes outputs frozen batches ledger
-- ARGV   now agent token holder batch ttl_ms limit_ms outputs_shown ledger_max
-- REPLY  {"BEGUN", meta, wakes, outputs} | {"STALE_TOKEN", current} | {"BEGUN_ALREADY", batch} | {"NO_BATCH"}
-- INCLUDE now fence due lane batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
if not lease then return { 'STALE_TOKEN', current.token } end
local meta = read_batch(K, A.batch)
if lease.batch == A.batch and meta then return open_reply(K, 'BEGUN', A.batch, meta, tonumber(A.outputs_shown)) end
if lease.batch ~= '' then return { 'BEGUN_ALREADY', lease.batch } end
if not meta or not redis.call('ZSCORE', K.parked, A.batch) then return { 'NO_BATCH' } end
-- writes
redis.call('ZREM', K.parked, A.batch)
meta.started = not meta.bypass  -- a take-over or hand-back goes on with the start that was noted already
if meta.started then note_start(K, A.batch, now) end
meta.bypass, meta.uncounted = nil, nil
run_batch(K, A.agent, lease, A.batch, meta, now, tonumber(A.ttl_ms), tonumber(A.limit_ms))
record(K, A, now, 'begun', lease.token, A.batch, cjson.encode({ n = meta.n, session = meta.session, attempt = meta.attempt }))
derive(K, A.agent, now, lease)
return open_reply(K, 'BEGUN', A.batch, meta, tonumber(A.outputs_shown))
