-- What the policy decides on, as JSON; read by acquire under the lease and by inspect without one.
-- show_lanes: the first 16 lanes of an intent that nothing blocks. Those that are blocked take no room: however many targets wait
-- for their retry, the next one is seen.
local function show_lanes(K, lanes, intent, page, now)
  local from, room = 0, 16
  while true do
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
    page = redis.call('ZRANGE', K['lane_' .. intent], from, from + 63, 'WITHSCORES')
  end
end

-- due_since: since when something could run. To wait for the bounded release takes nothing away from how late it is.
local function due_since(K, agent, seen, batches)
  local recorded = redis.call('HMGET', K.state, 'd:manual', 'w:manual', 'd:immediate', 'w:immediate', 'd:event', 'w:event', 'd:task', 'w:task',
    'd:scheduled', 'w:scheduled', 'd:event', 'w:event', 'd:deep', 'w:deep')
  seen.deferred = {}
  for i = 1, 7 do seen.deferred[i] = recorded[2 * i] ~= 'release' and recorded[2 * i - 1] or 0 end
  local since = free_due(K, agent, seen)
  for _, entry in ipairs(batches) do
    local meta = entry[3]
    if meta.deferred == 'release' then since = math.min(since, meta.since or since) end
  end
  return since or 0
end

-- take_snapshot: the state of one agent at this moment. `due`: since when something could run; `real`: this moment on the wall. And the parked
-- batches whose record is lost: they are not in it.
local function take_snapshot(K, A, now, us)
  local state = redis.call('HMGET', K.state, 'seq', 'starts', 'spent', 'depth')
  local seen = { pages = first_pages(K), parked = redis.call('ZRANGE', K.parked, 0, 15, 'WITHSCORES'),
    tick = redis.call('HGET', K.ticks, A.agent) or '' }
  local lanes, parked, unrecorded = {}, {}, {}
  for i = 1, #seen.parked, 2 do
    local batch, meta = seen.parked[i], read_batch(K, seen.parked[i])
    if meta then parked[#parked + 1] = { batch, tonumber(seen.parked[i + 1]), meta } else unrecorded[#unrecorded + 1] = batch end
  end
  for _, intent in ipairs(INTENTS) do
    if seen.pages[intent] then show_lanes(K, lanes, intent, seen.pages[intent], now) end
  end
  return { now = now, real = math.floor(us / 1000), seq = tonumber(state[1] or 0), starts = state[2] or '', spent = state[3] or '',
    depth = tonumber(state[4] or 0), due = due_since(K, A.agent, seen, parked), tick = seen.tick,
    hold = redis.call('HGET', K.holds, A.agent) or '', wide = redis.call('HGETALL', K.wide_holds), lanes = lanes, parked = parked }, unrecorded
end
