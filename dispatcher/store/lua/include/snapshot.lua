-- What the policy decides on, as JSON; read by acquire under the lease and by inspect without one.
-- show_lanes: the first 16 lanes of an intent that nothing blocks. Those that are blocked take no room: however many targets wait
-- for their retry, the next one is seen.
local function show_lanes(K, lanes, intent, now)
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

-- due_since: since when something could run. To wait for the bounded release takes nothing away from how late it is.
local function due_since(K, agent)
  local deferred, names = {}, { 'manual', 'immediate', 'event', 'task', 'scheduled', 'event', 'deep' }
  for i, intent in ipairs(names) do
    local recorded = redis.call('HMGET', K.state, 'd:' .. intent, 'w:' .. intent)
    deferred[i] = recorded[2] ~= 'release' and recorded[1] or 0
  end
  local since = free_due(K, agent, deferred)
  for _, batch in ipairs(redis.call('ZRANGE', K.parked, 0, 15)) do
    local meta = read_batch(K, batch)
    if meta.deferred == 'release' then since = math.min(since, meta.since or since) end
  end
  return since or 0
end

-- take_snapshot: the state of one agent at this moment. `due`: since when something could run; `real`: this moment on the wall.
local function take_snapshot(K, A, now, us)
  local state = redis.call('HMGET', K.state, 'seq', 'starts', 'spent', 'depth')
  local shown = { now = now, real = math.floor(us / 1000), seq = tonumber(state[1] or 0), starts = state[2] or '', spent = state[3] or '',
    depth = tonumber(state[4] or 0), due = due_since(K, A.agent), tick = redis.call('HGET', K.ticks, A.agent) or '',
    hold = redis.call('HGET', K.holds, A.agent) or '', wide = redis.call('HGETALL', K.wide_holds), lanes = {}, parked = {} }
  for _, intent in ipairs(INTENTS) do show_lanes(K, shown.lanes, intent, now) end
  local parked = redis.call('ZRANGE', K.parked, 0, 15, 'WITHSCORES')
  for i = 1, #parked, 2 do
    shown.parked[#shown.parked + 1] = { parked[i], tonumber(parked[i + 1]), read_batch(K, parked[i]) }
  end
  return shown
end
