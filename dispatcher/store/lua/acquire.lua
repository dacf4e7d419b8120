#!lua flags=allow-oom
-- acquire: take the lease of one agent if work is due, and tell what the policy must know.   O(lanes shown and blocked · log waiting)
-- KEYS   clock homes @derive mailbox batches counters ledger holds wide_holds
-- ARGV   now agent pool holder nonce claim_ms ledger_max
-- REPLY  {"LEASED", token, snapshot} | {"LEASE_HELD", until, holder} | {"NOT_DUE", due} | {"EMPTY"} | {"FOREIGN", pool}
-- Whatever the answer, the doorbell that led here is no longer out. A caller that repeats its nonce gets the same token again.
-- The lease starts as a claim: it ends after claim_ms unless begin follows.
-- INCLUDE now fence due lane batch record snapshot
local now, us = slot_now(K, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
local lease = read_lease(K)
if not home and lease.holder == '' and redis.call('HEXISTS', K.ticks, A.agent) == 0 then return { 'EMPTY' } end
local pool = home and string.match(home, '^(%S+)') or A.pool
if pool ~= A.pool then return { 'FOREIGN', pool } end
redis.call('HDEL', K.bell, A.agent)
local again = lease.holder == A.holder and lease.nonce == A.nonce and lease.batch == ''
if not again and held_until(K, lease, now) > now then
  derive(K, A.agent, now, lease)
  return { 'LEASE_HELD', string.format('%.0f', held_until(K, lease, now)), lease.holder }
end
local lost = lease.batch
if not again and lost == '' then
  local due = free_due(K, A.agent)
  if not due or due > now then
    if lease.holder ~= '' then release(K, A.agent, lease) end
    derive(K, A.agent, now, lease)
    return due and { 'NOT_DUE', string.format('%.0f', due) } or { 'EMPTY' }
  end
end
-- writes
if lost ~= '' then
  take_back(K, lost, now)
  redis.call('HINCRBY', K.counters, 'taken-over', 1)
  record(K, A, now, 'taken-over', lease.token, lost, cjson.encode({ from = lease.holder }))
end
if not again then
  lease.token = string.format('%.0f', math.max(tonumber(lease.token) + 1, us))
  lease.holder, lease.nonce, lease.batch, lease.renewal, lease.run_until = A.holder, A.nonce, '', 0, 0
end
lease.ends = now + tonumber(A.claim_ms)
write_lease(K, A.agent, lease)
derive(K, A.agent, now, lease)
local snapshot, unrecorded = take_snapshot(K, A, now, us)
-- They cannot run: they do not keep the agent due for nothing, nor from what else it has.
for _, batch in ipairs(unrecorded) do redis.call('ZADD', K.parked, now + MAX_LOOK_MS, batch) end
return { 'LEASED', lease.token, cjson.encode(snapshot) }
