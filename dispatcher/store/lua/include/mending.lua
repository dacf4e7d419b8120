-- What the batches of one agent, their index and their blocks say of each other. `wrong(what, command, …)` notes it, and mends with `fix`.

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
