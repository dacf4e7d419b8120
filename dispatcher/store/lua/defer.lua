#!lua flags=allow-oom
-- defer: nothing may run now; remember until when which intent waits, and free the agent.   O(deferrals)
-- KEYS   clock @derive batches ledger
-- ARGV   now agent token holder seen deferrals ledger_max
-- REPLY  {"DEFERRED", ring?} | {"CHANGED"} | {"STALE_TOKEN", current} | {"BEGUN_ALREADY"}
-- `deferrals`: JSON list of [intent or "batch:<id>", until, reason]. `seen`: the arrival number the
-- decision saw; CHANGED if a manual or immediate wake came after it, then nothing is written.
-- INCLUDE now fence due lane batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
if not lease then
  local repeated = current.token == A.token and redis.call('HGET', K.lease, 'deferred') == A.token
  return repeated and { 'DEFERRED', 0 } or { 'STALE_TOKEN', current.token }
end
if lease.batch ~= '' then return { 'BEGUN_ALREADY' } end
if tonumber(redis.call('HGET', K.state, 'urgent') or 0) > tonumber(A.seen) then return { 'CHANGED' } end
-- writes
for _, deferral in ipairs(cjson.decode(A.deferrals)) do
  local kind, until_ms, reason = deferral[1], deferral[2], deferral[3]
  local batch = string.match(kind, '^batch:(.*)$')
  if batch then
    local since = redis.call('ZSCORE', K.parked, batch)
    local meta = read_batch(K, batch)
    if redis.call('ZADD', K.parked, 'XX', 'CH', until_ms, batch) == 1 and meta then
      meta.since = meta.deferred == 'release' and meta.since or tonumber(since)
      meta.deferred = reason
      write_batch(K, batch, meta)
    end
  else
    redis.call('HSET', K.state, 'd:' .. kind, until_ms, 'w:' .. kind, reason)
  end
end
record(K, A, now, 'deferred', lease.token, '', A.deferrals)
redis.call('HSET', K.lease, 'deferred', A.token)
release(K, A.agent, lease)
return { 'DEFERRED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease) }
