-- What the batches of one agent, their index and their blocks say of each other. `wrong(what, command, …)` notes it, and mends with `fix`.

-- target_of: session and last attempt of a batch whose record is lost: from the block that it makes while it is parked, and from the newest
-- receipt of its start. nil: nothing knows its session any more.   O(ledger)
local function target_of(K, agent, batch)
  local blocked
  for _, session in ipairs(redis.call('HKEYS', K.blocks)) do
    if block_of(K, session) == batch then blocked = session end
  end
  local from = '+'
  while true do
    local lines = redis.call('XREVRANGE', K.ledger, from, '-', 'COUNT', 500)
    for _, line in ipairs(lines) do
      local receipt = {}
      for i = 1, #line[2], 2 do receipt[line[2][i]] = line[2][i + 1] end
      if receipt.batch == batch and receipt.agent == agent and receipt.what == 'begun' then
        local detail = cjson.decode(receipt.detail)
        return blocked or detail.session, detail.attempt
      end
    end
    if #lines < 500 then return blocked, 1 end
    from = '(' .. lines[500][1]
  end
end

-- record_of: the record of a frozen batch, written anew; nil where its target is not known. What it failed for is forgotten, and counted afresh.
local function record_of(K, A, batch, now)
  local session, attempt = target_of(K, A.agent, batch)
  if not session then return nil end
  local members, intents, first = frozen_range(K, batch), {}, 'event'
  for _, member in ipairs(members) do intents[string.match(member, '^[^\31]*\31[^\31]*\31[^\31]*\31([^\31]*)')] = true end
  for i = 5, 1, -1 do
    if intents[INTENTS[i]] then first = INTENTS[i] end
  end
  return { session = session, intent = first, n = #members, attempt = attempt, failures = 0, deliveries = 1, created = now, errors = {} }
end

-- check_records: a frozen batch has a record; without one it neither runs nor waits.
local function check_records(K, A, now, lease, members, wrong)
  for batch in pairs(members) do
    if redis.call('HEXISTS', K.batches, batch) == 0 then
      local meta = record_of(K, A, batch, now)
      wrong((meta and 'batch-unrecorded ' or 'lost:batch ') .. batch)
      if meta and A.fix == '1' and batch == lease.batch then
        meta.running = true
        write_batch(K, batch, meta)
      elseif meta and A.fix == '1' then
        park_batch(K, batch, meta, now, now)
      end
    end
  end
end

-- check_blocks: a block names the parked batch of its session, or none. `targets`: session by parked batch.
local function check_blocks(K, A, targets, wrong)
  for _, session in ipairs(redis.call('HKEYS', K.blocks)) do
    local parked, all, rest = block_of(K, session)
    if parked ~= '' and targets[parked] ~= session then
      wrong('block-of-nothing ' .. session)
      if A.fix == '1' then end_block(K, session, all, rest) end
    end
  end
  for batch, session in pairs(targets) do
    local parked, all, rest = block_of(K, session)
    if parked == '' then
      wrong('unblocked ' .. session)
      if A.fix == '1' then write_block(K, session, batch, all, rest, 'parked') end
    end
  end
end

-- check_batches: each batch that has wakes is the running one or parked. `members`: how many frozen wakes a batch has.
local function check_batches(K, A, now, lease, members, wrong)
  local targets = {}
  check_records(K, A, now, lease, members, wrong)
  for _, batch in ipairs(redis.call('HKEYS', K.batches)) do
    if not members[batch] then
      wrong('batch-of-nothing ' .. batch, 'HDEL', K.batches, batch)
    elseif batch ~= lease.batch then
      local meta = read_batch(K, batch)
      targets[batch] = meta.session
      if not redis.call('ZSCORE', K.parked, batch) then
        wrong('batch-adrift ' .. batch)
        if A.fix == '1' then park_batch(K, batch, meta, now, now) end
      end
    end
  end
  for _, batch in ipairs(redis.call('ZRANGE', K.parked, 0, -1)) do
    if not members[batch] then wrong('parked-nothing ' .. batch, 'ZREM', K.parked, batch) end
  end
  check_blocks(K, A, targets, wrong)
end
