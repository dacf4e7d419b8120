#!lua flags=allow-oom
-- place: a running heartbeat keeps its place among those that are capped, or leaves it.   O(log running)
-- KEYS   running pool_running
-- ARGV   now agent ttl_ms
-- REPLY  {"KEPT"} | {"LEFT"}
-- `ttl_ms` 0 leaves. A place that ran out is not taken again: it may be another's by now, and a cap is no lease.
local t = redis.call('TIME')
local now = tonumber(A.now) > 0 and tonumber(A.now) or t[1] * 1000 + math.floor(t[2] / 1000)
-- writes
for _, running in ipairs({ K.running, K.pool_running }) do
  if A.ttl_ms == '0' then redis.call('ZREM', running, A.agent)
  else redis.call('ZADD', running, 'XX', now + tonumber(A.ttl_ms), A.agent) end
end
return { A.ttl_ms == '0' and 'LEFT' or 'KEPT' }
