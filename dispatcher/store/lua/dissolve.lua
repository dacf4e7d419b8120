#!lua flags=allow-oom
-- dissolve: the target was busy; the batch never reached the model and goes back to pending in its old order.   O(batch · log waiting)
-- KEYS   clock @derive mailbox wakes outputs frozen batches fates counters ledger
-- ARGV   now agent token holder batch wait_ms block_all_ms block_rest_ms rider_age_ms reason ledger_max
-- REPLY  {"DISSOLVED", ring?} | {"ALREADY_SETTLED"} | {"STALE_TOKEN", current} | {"NO_BATCH"}
-- The start is forgotten and no attempt is counted. `block_all_ms` binds every wake of the target, `block_rest_ms` all but manual,
-- `wait_ms` these wakes only: a newer one may make the lane due earlier.
-- INCLUDE now fence due lane fate batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
local known = lease or current
if known.done_token == A.token and known.done_batch == A.batch then return { 'ALREADY_SETTLED' } end
if not lease then return { 'STALE_TOKEN', current.token } end
local meta = lease.batch == A.batch and read_batch(K, A.batch)
if not meta then return { 'NO_BATCH' } end
-- writes
local ids = end_batch(K, A.batch, meta, function(id, seq, at, intent)
  -- A rider goes back to riding: its own due time counts from its arrival. One that is over it waits like the others.
  local due = now + tonumber(A.wait_ms)
  if intent == 'rider' then due = math.max(due, tonumber(at) + tonumber(A.rider_age_ms)) end
  put_wake(K, intent, meta.session, seq, at, id, due)
end, true)
move_fates(K, ids, 'pending', now, '')
local all, rest = tonumber(A.block_all_ms), tonumber(A.block_rest_ms)
if all > 0 or rest > 0 then
  write_block(K, meta.session, '', all > 0 and now + all or 0, rest > 0 and now + rest or 0, A.reason)
end
forget_start(K, A.batch)
redis.call('HINCRBY', K.counters, 'heartbeats:busy', 1)
redis.call('HSET', K.lease, 'done_token', A.token, 'done_batch', A.batch)
record(K, A, now, 'busy', A.token, A.batch, cjson.encode({ reason = A.reason }))
release(K, A.agent, lease)
return { 'DISSOLVED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true) }
