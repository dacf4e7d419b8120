-- Frozen batches. `batches` holds a small JSON record per batch; its wakes lie in `frozen` until it ends.
local function read_batch(K, batch)
  local raw = redis.call('HGET', K.batches, batch)
  return raw and cjson.decode(raw) or nil
end

local function write_batch(K, batch, meta)
  redis.call('HSET', K.batches, batch, cjson.encode(meta))
end

-- cancel_words: who cancelled the batch and why; nothing if nobody did.
local function cancel_words(meta)
  local cancel = meta.cancel
  if not cancel then return '' end
  return 'cancelled by ' .. cancel.by .. (cancel.reason ~= '' and ': ' .. cancel.reason or '')
end

-- park_batch: the batch waits, unchanged, until `not_before`; its target is blocked meanwhile. A manual or immediate
-- wake that is already waiting for the target makes it due now, once: the next failure waits out its backoff.
-- What was begun without a start has none to go on with, and obeys the guards.
local function park_batch(K, batch, meta, not_before, now)
  local newest = tonumber(redis.call('HGET', K.state, 'urgent') or 0)
  for _, intent in ipairs(newest > (meta.promoted or 0) and { 'immediate', 'manual' } or {}) do
    if redis.call('ZSCORE', K['lane_' .. intent], meta.session) then
      not_before = math.min(not_before, now)
      meta.urgent, meta.promoted = intent, newest
    end
  end
  meta.running = false
  if meta.cancel and meta.cancel.retry then meta.cancel = nil end  -- it ended, however it did
  if meta.uncounted then meta.bypass = nil end
  write_batch(K, batch, meta)
  redis.call('ZADD', K.parked, not_before, batch)
  local _, all, rest = block_of(K, meta.session)
  write_block(K, meta.session, batch, all, rest, 'parked')
end

-- take_back: the batch of a holder that is gone is parked as the same start: the cooldown table does not apply again. Without its record it
-- cannot run before `wake doctor --fix` wrote that anew; it only keeps its agent in the due index.
local function take_back(K, batch, now)
  local meta = read_batch(K, batch)
  if not meta then return redis.call('ZADD', K.parked, now, batch) end
  meta.bypass = true
  park_batch(K, batch, meta, now, now)
end

-- run_batch: the batch runs under this lease; its target is no longer parked.
local function run_batch(K, agent, lease, batch, meta, now, ttl_ms, limit_ms)
  meta.running = true
  meta.attempt = meta.attempt + 1
  meta.deliveries = meta.deliveries + 1
  meta.urgent, meta.deferred, meta.since = nil, nil, nil
  write_batch(K, batch, meta)
  redis.call('HDEL', K.blocks, meta.session)
  lease.batch, lease.ends, lease.run_until = batch, now + ttl_ms, now + limit_ms
  write_lease(K, agent, lease)
end

-- open_reply: what the holder needs to run the batch: attempt, counters, then the small records and the newest outputs.
local function open_reply(K, status, batch, meta, outputs)
  local members = frozen_range(K, batch)
  local wakes, bodies = {}, {}
  for i = 1, #members, 500 do
    local seqs = {}
    for j = i, math.min(i + 499, #members) do seqs[#seqs + 1] = string.match(members[j], '^[^\31]*\31([^\31]*)\31') end
    for _, wake in ipairs(redis.call('HMGET', K.wakes, unpack(seqs))) do wakes[#wakes + 1] = wake end
  end
  local newest = math.max(1, #members - outputs + 1)
  for i = redis.call('EXISTS', K.outputs) == 1 and newest or #members + 1, #members, 500 do
    local seqs, ids = {}, {}
    for j = i, math.min(i + 499, #members) do
      local seq, _, _, id = string.match(members[j], '^[^\31]*\31([^\31]*)\31([^\31]*)\31([^\31]*)\31(.*)$')
      seqs[#seqs + 1], ids[#ids + 1] = seq, id
    end
    for j, body in ipairs(redis.call('HMGET', K.outputs, unpack(seqs))) do
      if body then bodies[#bodies + 1], bodies[#bodies + 2] = ids[j], body end
    end
  end
  return { status, cjson.encode(meta), wakes, bodies }
end

-- end_batch: forgets a frozen batch, also one whose record is lost, and tells the ids of its wakes; calls `each(id, seq, at, intent)` for every wake before its record goes.
local function end_batch(K, batch, meta, each, keep_wakes)
  local ids, seqs = {}, {}
  for i, member in ipairs(frozen_range(K, batch)) do
    local seq, at, intent, id = string.match(member, '^[^\31]*\31([^\31]*)\31([^\31]*)\31([^\31]*)\31(.*)$')
    if each then each(id, seq, at, intent) end
    ids[i], seqs[i] = id, seq
  end
  if not keep_wakes then
    many('HDEL', K.wakes, seqs)
    many('HDEL', K.outputs, seqs)
  end
  redis.call('ZREMRANGEBYLEX', K.frozen, '[' .. batch .. '\31', '(' .. batch .. ' ')
  redis.call('HDEL', K.batches, batch)
  redis.call('ZREM', K.parked, batch)
  if not meta then return ids end
  local parked, all, rest = block_of(K, meta.session)
  if parked == batch then end_block(K, meta.session, all, rest) end
  return ids
end

-- spent_by: starts by hour of slot time, for budgets, with these counted in; the last 25 hours are kept.
local function spent_by(spent, at, count)
  local hour, kept, found = math.floor(at / 3600000), {}, false
  for h, n in string.gmatch(spent or '', '(%d+):(%d+)') do
    local own = tonumber(h) == hour
    found = found or own
    if tonumber(h) > hour - 25 then kept[#kept + 1] = h .. ':' .. math.max(0, tonumber(n) + (own and count or 0)) end
  end
  if not found and count > 0 then kept[#kept + 1] = string.format('%d:%d', hour, count) end
  return table.concat(kept, ' ')
end

-- forget_start: a start that never reached the model leaves no mark on the cooldown. Earlier attempts of the batch keep theirs.
local function forget_start(K, batch)
  local known, starts, last = redis.call('HMGET', K.state, 'starts', 'spent'), {}, nil
  for start in string.gmatch(known[1] or '', '%S+') do
    starts[#starts + 1] = start
    if string.match(start, ':(.*)$') == batch then last = #starts end
  end
  if not last then return end
  local spent = spent_by(known[2], tonumber(string.match(table.remove(starts, last), '^%d+')), -1)
  redis.call('HSET', K.state, 'starts', table.concat(starts, ' '), 'spent', spent)
end

-- note_start: begin and a retry count as starts; a take-over of the same start does not. The newest 32 are kept.
local function note_start(K, batch, now)
  local known, starts = redis.call('HMGET', K.state, 'starts', 'spent'), {}
  for start in string.gmatch(known[1] or '', '%S+') do starts[#starts + 1] = start end
  starts[#starts + 1] = string.format('%.0f:%s', now, batch)
  while #starts > 32 do table.remove(starts, 1) end
  redis.call('HSET', K.state, 'starts', table.concat(starts, ' '), 'spent', spent_by(known[2], now, 1))
end
