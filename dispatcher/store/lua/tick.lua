#!lua flags=allow-oom
-- tick: the cadence of an agent moves on, under its lease; a tick that is due becomes one waiting wake, however many were missed.   O(log waiting)
-- KEYS   clock homes pools @derive mailbox wakes fates counters ledger batches holds wide_holds
-- ARGV   now agent pool configured token holder was next deposit why session wake id accepted_at max_mailbox ledger_max
-- REPLY  {"TICKED", deposited?, snapshot} | {"CHANGED", current} | {"STALE_TOKEN", current}
-- `was`, `next`: `<ms>|<cadence>` or nothing. A tick joins one that still waits for the same session, and a mailbox that is full.
-- The slot accepts the wake itself, so that the books count it: no inbox entry stands behind it.
-- `snapshot`: as acquire would give it now, so that the holder decides again without asking.
-- INCLUDE now fence due lane fate batch record snapshot
local now, us = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
if not lease then return { 'STALE_TOKEN', current.token } end
local tick = redis.call('HGET', K.ticks, A.agent) or ''
if tick ~= A.was then return { 'CHANGED', tick } end
-- writes
if A.next == '' then redis.call('HDEL', K.ticks, A.agent) else redis.call('HSET', K.ticks, A.agent, A.next) end
local joins = redis.call('ZSCORE', K.lane_scheduled, A.session) or redis.call('HEXISTS', K.fates, A.id) == 1
  or redis.call('HLEN', K.wakes) >= tonumber(A.max_mailbox)
local deposited = A.deposit == '1' and not joins
if deposited then
  -- A worker's server user may not say where an agent lives; the first deposit will.
  if redis.pcall('HSETNX', K.homes, A.agent, A.pool .. ' ' .. A.configured) == 1 then redis.call('SADD', K.pools, A.pool) end
  local seq = string.format('%016d', redis.call('HINCRBY', K.state, 'seq', 1))
  redis.call('HSET', K.wakes, seq, A.wake)
  -- Due since it was: how late it is decides whether it takes part in the release after an outage.
  put_wake(K, 'scheduled', A.session, seq, A.accepted_at, A.id, math.min(now, tick_due(K, A.agent, 0, A.was)))
  set_fate(K, A.id, 'pending', '0', '', now, '')
  redis.call('HINCRBY', K.counters, 'accepted', 1)
  redis.call('HINCRBY', K.counters, 'deposited', 1)
end
record(K, A, now, 'ticked', lease.token, '', cjson.encode({ why = A.why, next = A.next, deposited = deposited }))
derive(K, A.agent, now, lease)
return { 'TICKED', deposited and 1 or 0, cjson.encode((take_snapshot(K, A, now, us))) }
