#!lua flags=allow-oom
-- suppress: a quiet completion is recorded for its agent and wakes nobody.   O(1)
-- KEYS   clock homes pools fates finals trims counters
-- ARGV   now agent pool configured read_at max_hold_ms entry id revival reason
-- REPLY  {"SUPPRESSED"} | {"DUPLICATE", stage} | {"MOVED", pool, configured} | {"TOO_LATE"}
-- TOO_LATE as in deposit.
-- INCLUDE now fate
local now, us = slot_now(K, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
if home then
  local pool, configured = string.match(home, '^(%S+) (%S+)$')
  if pool ~= A.pool or configured ~= A.configured then return { 'MOVED', pool, configured } end
end
local held_ms = math.floor(us / 1000) - tonumber(A.read_at)
if tonumber(A.read_at) > 0 and (held_ms < 0 or held_ms > tonumber(A.max_hold_ms)) then return { 'TOO_LATE' } end
local stage, revival = string.match(redis.call('HGET', K.fates, A.id) or '', '^(%a+)|(%d+)|')
if stage and tonumber(A.revival) <= tonumber(revival) then
  count_again(K, A.id, A.entry)
  return { 'DUPLICATE', stage }
end
-- writes
if not home then
  redis.call('HSET', K.homes, A.agent, A.pool .. ' ' .. A.configured)
  redis.call('SADD', K.pools, A.pool)
end
redis.call('HINCRBY', K.counters, 'suppressed', 1)
set_fate(K, A.id, 'suppressed', A.revival, A.entry, now, A.reason)
redis.call('ZADD', K.finals, now, A.id)
redis.call('ZADD', K.trims, 'NX', now, A.agent)
return { 'SUPPRESSED' }
