#!lua flags=allow-oom
-- cadence: the pending tick of an agent that nobody looks at now: set, changed or taken away.   O(lanes)
-- KEYS   clock homes pools @derive
-- ARGV   now agent pool was next
-- REPLY  {"SET"} | {"CHANGED", current} | {"MOVED", pool, configured}
-- `was`, `next`: `<ms>|<cadence>` or nothing. An agent that has no home yet gets none; its pool is known from now on.
-- INCLUDE now fence due
local now = slot_now(K, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
if home then
  local pool, configured = string.match(home, '^(%S+) (%S+)$')
  if pool ~= A.pool and A.next ~= '' then return { 'MOVED', pool, configured } end
end
local tick = redis.call('HGET', K.ticks, A.agent) or ''
if tick ~= A.was then return { 'CHANGED', tick } end
-- writes
redis.call('SADD', K.pools, A.pool)
if A.next == '' then redis.call('HDEL', K.ticks, A.agent) else redis.call('HSET', K.ticks, A.agent, A.next) end
derive(K, A.agent, now, read_lease(K))
return { 'SET' }
