#!lua flags=allow-oom
-- begin: freeze the wakes of one target as a batch and start it under the lease.   O(batch · log waiting)
-- KEYS   clock @derive mailbox wakes outputs frozen batches fates ledger
-- ARGV   now agent token holder batch session intents max_batch counts ttl_ms limit_ms outputs_shown ledger_max
-- REPLY  {"BEGUN", meta, wakes, outputs} | {"STALE_TOKEN", current} | {"BEGUN_ALREADY", batch} | {"TARGET_PARKED", batch} | {"NOTHING"}
-- `intents`: comma separated, in the order in which they fill the batch. The same batch id again gets the same answer again.
-- `counts` 0: it is begun only to be buried, and no start. Should it not be buried, its next attempt is its first start.
-- INCLUDE now fence due lane fate batch record
local now = slot_now(K, tonumber(A.now))
local lease, current = fenced(K, A.token, A.holder)
if not lease then return { 'STALE_TOKEN', current.token } end
local begun = lease.batch == A.batch and read_batch(K, A.batch)
if begun then return open_reply(K, 'BEGUN', A.batch, begun, tonumber(A.outputs_shown)) end
if lease.batch ~= '' then return { 'BEGUN_ALREADY', lease.batch } end
local parked = block_of(K, A.session)
if parked ~= '' then return { 'TARGET_PARKED', parked } end
local taken, room = {}, tonumber(A.max_batch)
local order, pages = {}, first_pages(K)
for intent in string.gmatch(A.intents, '[^,]+') do
  local members = room > 0 and pages[intent] and lane_range(K, intent, A.session, room) or {}
  room = room - #members
  order[#order + 1] = intent
  taken[intent] = members
end
if room == tonumber(A.max_batch) then return { 'NOTHING' } end
-- writes
local urgent = ''
for _, intent in ipairs(order) do
  local ids, frozen = {}, {}
  for i, member in ipairs(taken[intent]) do
    local _, _, seq, at, id = waiting_parts(member)
    ids[i], frozen[2 * i - 1], frozen[2 * i] = id, 0, table.concat({ A.batch, seq, at, intent, id }, SEP)
  end
  many('ZREM', K.mailbox, taken[intent])
  many('ZADD', K.frozen, frozen)
  move_fates(K, ids, 'running', now, A.batch)
  if #taken[intent] > 0 then
    if urgent == '' and intent ~= 'rider' and intent ~= 'deep' then urgent = intent end
    if lane_count(K, intent, A.session) == 0 then redis.call('ZREM', K['lane_' .. intent], A.session) end
  end
end
local meta = { session = A.session, intent = urgent == '' and 'event' or urgent, attempt = 0, failures = 0, deliveries = 0,
  n = tonumber(A.max_batch) - room, created = now, errors = {}, uncounted = A.counts ~= '1' or nil }
if A.counts == '1' then
  note_start(K, A.batch, now)
  redis.call('HINCRBY', K.state, 'heartbeats', 1)
end
run_batch(K, A.agent, lease, A.batch, meta, now, tonumber(A.ttl_ms), tonumber(A.limit_ms))
record(K, A, now, 'begun', lease.token, A.batch, cjson.encode({ n = meta.n, session = meta.session, attempt = 1 }))
derive(K, A.agent, now, lease)
return open_reply(K, 'BEGUN', A.batch, meta, tonumber(A.outputs_shown))
