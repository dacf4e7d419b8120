#!lua flags=allow-oom
-- acquire: take the lease of one agent if work is due, and tell what the policy must know.   O(lanes shown and blocked · log waiting)
-- KEYS   clock homes @derive mailbox batches ledger
-- ARGV   now agent pool holder nonce claim_ms ledger_max
-- REPLY  {"LEASED", token, snapshot} | {"LEASE_HELD", until, holder} | {"NOT_DUE", due} | {"EMPTY"} | {"FOREIGN", pool}
-- Whatever the answer, the doorbell that led here is no longer out. A caller that repeats its nonce gets the same token again.
-- The lease starts as a claim: it ends after claim_ms unless begin follows.
-- INCLUDE now fence due lane batch record

-- show_lanes: the first 16 lanes of an intent that nothing blocks. Those that are blocked take no room: however many targets wait
-- for their retry, the next one is seen.
local function show_lanes(lanes, intent, now)
  local from, room = 0, 16
  while true do
    local page = redis.call('ZRANGE', K['lane_' .. intent], from, from + 63, 'WITHSCORES')
    for i = 1, #page, 2 do
      local parked, all, rest = block_of(K, page[i])
      local block = intent == 'manual' and all or math.max(all, rest)
      if parked == '' and block <= now then
        local _, _, seq, at = waiting_parts(lane_range(K, intent, page[i], 1)[1])
        lanes[#lanes + 1] = { intent, page[i], tonumber(page[i + 1]), lane_count(K, intent, page[i]), tonumber(at), tonumber(seq), block }
        room = room - 1
        if room == 0 then return end
      end
    end
    if #page < 128 then return end
    from = from + 64
  end
end

local now, us = slot_now(K, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
if not home then return { 'EMPTY' } end
local pool = string.match(home, '^(%S+)')
if pool ~= A.pool then return { 'FOREIGN', pool } end
redis.call('HDEL', K.bell, A.agent)
local lease = read_lease(K)
local again = lease.holder == A.holder and lease.nonce == A.nonce and lease.batch == ''
if not again and held_until(K, lease, now) > now then
  derive(K, A.agent, now, lease)
  return { 'LEASE_HELD', string.format('%.0f', held_until(K, lease, now)), lease.holder }
end
local lost = lease.batch
if not again and lost == '' then
  local due = free_due(K)
  if not due or due > now then
    if lease.holder ~= '' then release(K, A.agent, lease) end
    derive(K, A.agent, now, lease)
    return due and { 'NOT_DUE', string.format('%.0f', due) } or { 'EMPTY' }
  end
end
-- writes
if lost ~= '' then
  local meta = read_batch(K, lost)
  meta.bypass = true  -- it is the same start: the cooldown table does not apply again
  park_batch(K, lost, meta, now, now)
  record(K, A, now, 'taken-over', lease.token, lost, cjson.encode({ from = lease.holder }))
end
if not again then
  lease.token = string.format('%.0f', math.max(tonumber(lease.token) + 1, us))
  lease.holder, lease.nonce, lease.batch, lease.renewal, lease.run_until = A.holder, A.nonce, '', 0, 0
end
lease.ends = now + tonumber(A.claim_ms)
write_lease(K, A.agent, lease)
derive(K, A.agent, now, lease)
local state = redis.call('HMGET', K.state, 'seq', 'starts')
local shown = { now = now, seq = tonumber(state[1] or 0), starts = state[2] or '', lanes = {}, parked = {} }
for _, intent in ipairs(INTENTS) do show_lanes(shown.lanes, intent, now) end
local parked = redis.call('ZRANGE', K.parked, 0, 15, 'WITHSCORES')
for i = 1, #parked, 2 do
  local meta = read_batch(K, parked[i])
  shown.parked[#shown.parked + 1] = { parked[i], tonumber(parked[i + 1]), meta }
end
return { 'LEASED', lease.token, cjson.encode(shown) }
