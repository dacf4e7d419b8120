#!lua flags=allow-oom
-- admit: a place among the running heartbeats of a store and of a pool, or a place in the line of those that wait for one.   O(log line)
-- KEYS   running pool_running line asked bucket
-- ARGV   now agent ttl_ms all_cap pool_cap rank late rate
-- REPLY  {"ADMITTED"} | {"WAIT", wait_ms, ahead}
-- A cap of 0 does not bind. `rank`: who is lower goes first. `late` 1: a token of the release as well, `rate` a second.
-- A place ends after `ttl_ms` unless `place` keeps it; who waits and does not ask for 30 s loses its place in the line.
local t = redis.call('TIME')
local now = tonumber(A.now) > 0 and tonumber(A.now) or t[1] * 1000 + math.floor(t[2] / 1000)
-- writes
for _, running in ipairs({ K.running, K.pool_running }) do redis.call('ZREMRANGEBYSCORE', running, '-inf', now) end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', K.asked, '-inf', now - 30000, 'LIMIT', 0, 100)) do
  redis.call('ZREM', K.asked, gone)
  redis.call('ZREM', K.line, gone)
end
redis.call('ZADD', K.asked, now, A.agent)
redis.call('ZADD', K.line, A.rank, A.agent)
local ahead = redis.call('ZRANK', K.line, A.agent)
local free, wait_ms = math.huge, 0
local function bind(cap, running)
  if cap <= 0 then return end
  local held = redis.call('ZCARD', running) - (redis.call('ZSCORE', running, A.agent) and 1 or 0)
  free = math.min(free, cap - held)
end
bind(tonumber(A.all_cap), K.running)
bind(tonumber(A.pool_cap), K.pool_running)
if ahead >= free then wait_ms = math.min(1000 + 50 * (ahead - math.max(free, 0)), 10000) end
local rate, tokens = tonumber(A.rate), 0
if A.late == '1' then
  local b = redis.call('HMGET', K.bucket, 'tokens', 'at')
  tokens = math.min(math.max(1, rate), tonumber(b[1] or 1) + math.max(0, now - tonumber(b[2] or now)) * rate / 1000)
  redis.call('HSET', K.bucket, 'tokens', tokens, 'at', now)
  if ahead + 1 > tokens then wait_ms = math.max(wait_ms, math.min(math.ceil((ahead + 1 - tokens) * 1000 / rate), 10000)) end
end
if wait_ms > 0 then return { 'WAIT', wait_ms, ahead } end
if A.late == '1' then redis.call('HSET', K.bucket, 'tokens', tokens - 1) end
redis.call('ZREM', K.line, A.agent)
redis.call('ZREM', K.asked, A.agent)
if tonumber(A.all_cap) > 0 then redis.call('ZADD', K.running, now + tonumber(A.ttl_ms), A.agent) end
if tonumber(A.pool_cap) > 0 then redis.call('ZADD', K.pool_running, now + tonumber(A.ttl_ms), A.agent) end
return { 'ADMITTED' }
