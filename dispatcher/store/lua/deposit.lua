#!lua flags=allow-oom
-- deposit: one wake into the mailbox of one agent, marker and due entry in the same step.   O(log waiting)
-- KEYS   clock homes pools @derive mailbox wakes outputs fates finals trims dead deads counters batches
-- ARGV   now agent pool configured read_at max_hold_ms entry id revival accepted_at session intent delay_ms quiet_ms max_wait_ms depth wake output max_mailbox max_dead
-- REPLY  {"DEPOSITED", ring?} | {"DUPLICATE", stage} | {"MAILBOX_FULL"} | {"DEAD_FULL"} | {"MOVED", pool, configured} | {"TOO_LATE"}
-- MAILBOX_FULL: the completion was set aside as a dead letter. TOO_LATE: the entry was read so long ago that its marker may be gone.
-- INCLUDE now fence due lane fate batch
local now, us = slot_now(K, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
if home then
  local pool, configured = string.match(home, '^(%S+) (%S+)$')
  if pool ~= A.pool or configured ~= A.configured then return { 'MOVED', pool, configured } end
end
local read_at = tonumber(A.read_at)
local held_ms = math.floor(us / 1000) - read_at  -- by the clock that the inbox was read with, which is not that of the slot
if read_at > 0 and (held_ms < 0 or held_ms > tonumber(A.max_hold_ms)) then return { 'TOO_LATE' } end
local fate = redis.call('HGET', K.fates, A.id)
if fate then
  local stage, revival = string.match(fate, '^(%a+)|(%d+)|')
  if tonumber(A.revival) <= tonumber(revival) then
    count_again(K, A.id, A.entry)
    return { 'DUPLICATE', stage }
  end
end
local full = redis.call('HLEN', K.wakes) >= tonumber(A.max_mailbox)
if full and redis.call('HLEN', K.dead) >= tonumber(A.max_dead) then return { 'DEAD_FULL' } end
local urgent = A.intent == 'manual' or A.intent == 'immediate'
local parked = urgent and block_of(K, A.session) or ''
local meta = parked ~= '' and read_batch(K, parked)
-- writes
if not home then
  redis.call('HSET', K.homes, A.agent, A.pool .. ' ' .. A.configured)
  redis.call('SADD', K.pools, A.pool)
end
redis.call('HINCRBY', K.counters, 'deposited', 1)
redis.call('ZREM', K.finals, A.id)
if full then
  redis.call('HSET', K.dead, A.id, cjson.encode({ reason = 'mailbox-full', at = now, session = A.session, intent = A.intent,
    accepted_at = tonumber(A.accepted_at), revival = tonumber(A.revival), attempts = 0, wake = A.wake, output = A.output }))
  redis.call('SADD', K.deads, A.agent)
  redis.call('HINCRBY', K.counters, 'dead:mailbox-full', 1)
  set_fate(K, A.id, 'dead', A.revival, A.entry, now, 'mailbox-full')
  return { 'MAILBOX_FULL' }
end
local seq = string.format('%016d', redis.call('HINCRBY', K.state, 'seq', 1))
redis.call('HSET', K.wakes, seq, A.wake)
if A.output ~= '' then redis.call('HSET', K.outputs, seq, A.output) end
put_wake(K, A.intent, A.session, seq, A.accepted_at, A.id, now + tonumber(A.delay_ms))
if A.quiet_ms ~= '0' then slide(K, A.intent, A.session, now, tonumber(A.quiet_ms), tonumber(A.max_wait_ms)) end
if A.intent == 'deep' then redis.call('HSET', K.state, 'depth', A.depth) end
set_fate(K, A.id, 'pending', A.revival, A.entry, now, '')
if urgent then
  redis.call('HSET', K.state, 'urgent', seq)
  if meta then
    -- A person does not wait behind a retry: the frozen batch runs now, unchanged, and this wake follows in its own.
    redis.call('ZADD', K.parked, 'XX', 'LT', now, parked)
    meta.urgent = meta.urgent == 'manual' and 'manual' or A.intent
    meta.promoted = tonumber(seq)
    write_batch(K, parked, meta)
  end
end
local lease = read_lease(K)
return { 'DEPOSITED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, urgent) }
