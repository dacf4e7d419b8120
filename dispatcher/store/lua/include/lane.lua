-- A lane is the waiting wakes of one intent for one session. Waiting: mailbox member intent, session, seq, at, id;
-- frozen: member batch, seq, at, intent, id. Both sort by arrival within their prefix; the separator is 0x1f.
local SEP = '\31'

local function lane_range(K, intent, session, limit)
  local prefix = intent .. SEP .. session
  return redis.call('ZRANGEBYLEX', K.mailbox, '[' .. prefix .. SEP, '(' .. prefix .. ' ', 'LIMIT', 0, limit)
end

local function lane_count(K, intent, session)
  local prefix = intent .. SEP .. session
  return redis.call('ZLEXCOUNT', K.mailbox, '[' .. prefix .. SEP, '(' .. prefix .. ' ')
end

-- put_wake: one wake into its lane; the first sets the due time, later ones can only make it earlier.
local function put_wake(K, intent, session, seq, at, id, due)
  redis.call('ZADD', K.mailbox, 0, table.concat({ intent, session, seq, at, id }, SEP))
  local lane = K['lane_' .. intent]
  local current = redis.call('ZSCORE', lane, session)
  if not current or due < tonumber(current) then redis.call('ZADD', lane, due, session) end
end

local function waiting_parts(member)
  return string.match(member, '^([^\31]*)\31([^\31]*)\31([^\31]*)\31([^\31]*)\31(.*)$')
end

-- slide: with a quiet time each arrival moves the due time to its own end, never beyond `max_wait_ms` after the acceptance of the
-- oldest that waits.
local function slide(K, intent, session, now, quiet_ms, max_wait_ms)
  local _, _, _, oldest = waiting_parts(lane_range(K, intent, session, 1)[1])
  redis.call('ZADD', K['lane_' .. intent], math.max(now, math.min(now + quiet_ms, tonumber(oldest) + max_wait_ms)), session)
end

-- frozen_range: the members of a batch, oldest first, as they were frozen.
local function frozen_range(K, batch)
  return redis.call('ZRANGEBYLEX', K.frozen, '[' .. batch .. SEP, '(' .. batch .. ' ')
end
