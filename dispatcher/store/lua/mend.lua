#!lua flags=allow-oom
-- mend: what in the indexes of one agent contradicts its own state; with `fix` = 1 that is put right.   O(waiting + frozen), and O(ledger) for a lost record
-- KEYS   clock homes pools @derive mailbox wakes outputs frozen batches fates finals trims dead deads ledger
-- ARGV   now agent pool fix ledger_max
-- REPLY  {"SOUND"} | {"FOUND", what, …} | {"MENDED", what, …} | {"FOREIGN", pool}
-- `lost:…` is said only: nothing here knows what it should be. An index is wrong when it would look too late, or never, or for nothing.
-- INCLUDE now fence due lane fate batch record mending
local now = slot_now(K, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
if home and string.match(home, '^(%S+)') ~= A.pool then return { 'FOREIGN', string.match(home, '^(%S+)') } end
-- writes
local found = {}
local function wrong(what, command, ...)
  if #found < 100 then found[#found + 1] = what end
  if command and A.fix == '1' then redis.call(command, ...) end
end
-- A cadence alone needs no home.
if not home and redis.call('EXISTS', K.fates) == 1 then wrong('home', 'HSET', K.homes, A.agent, A.pool .. ' ' .. A.pool) end
if redis.call('SISMEMBER', K.pools, A.pool) == 0 then wrong('pool', 'SADD', K.pools, A.pool) end
local places, lanes, members = {}, {}, {}
for _, member in ipairs(redis.call('ZRANGE', K.mailbox, 0, -1)) do
  local intent, session, seq, _, id = waiting_parts(member)
  places[seq], lanes[intent .. SEP .. session] = true, true
  if redis.call('HEXISTS', K.wakes, seq) == 0 then wrong('lost:wake ' .. id) end
  if not redis.call('ZSCORE', K['lane_' .. intent], session) then wrong('lane ' .. intent .. ' ' .. session) end
  if A.fix == '1' then redis.call('ZADD', K['lane_' .. intent], 'NX', now, session) end
end
for _, intent in ipairs(INTENTS) do
  for _, session in ipairs(redis.call('ZRANGE', K['lane_' .. intent], 0, -1)) do
    if not lanes[intent .. SEP .. session] then wrong('lane-of-nothing ' .. intent, 'ZREM', K['lane_' .. intent], session) end
  end
end
for _, member in ipairs(redis.call('ZRANGE', K.frozen, 0, -1)) do
  local batch, seq = string.match(member, '^([^\31]*)\31([^\31]*)\31')
  places[seq], members[batch] = true, (members[batch] or 0) + 1
end
for _, seq in ipairs(redis.call('HKEYS', K.wakes)) do
  if not places[seq] then wrong('wake-of-nothing ' .. seq, 'HDEL', K.wakes, seq) end
end
local lease = read_lease(K)
check_batches(K, A, now, lease, members, wrong)
if lease.batch ~= '' and not members[lease.batch] then
  wrong('lease-of-nothing ' .. lease.batch)
  if A.fix == '1' then release(K, A.agent, lease) end
end
local entry = string.match(redis.call('HGET', K.leases, A.agent) or '', '^(%d+)|') or redis.call('HGET', K.leases, A.agent)
if lease.holder == '' and entry then wrong('lease-entry', 'HDEL', K.leases, A.agent) end
if lease.holder ~= '' and entry ~= lease.token then
  wrong('lease-entry')
  if A.fix == '1' then write_lease(K, A.agent, lease) end
end
local dead = redis.call('HLEN', K.dead) > 0
if dead ~= (redis.call('SISMEMBER', K.deads, A.agent) == 1) then wrong('deads', dead and 'SADD' or 'SREM', K.deads, A.agent) end
if redis.call('ZCARD', K.finals) > 0 and not redis.call('ZSCORE', K.trims, A.agent) then wrong('trims', 'ZADD', K.trims, now, A.agent) end
local bell = redis.call('HGET', K.bell, A.agent)
if bell and not string.match(bell, '^%d+|%d+$') then wrong('bell', 'HDEL', K.bell, A.agent) bell = nil end
local due, look = redis.call('ZSCORE', K.due, A.agent), redis.call('ZSCORE', K.look, A.agent)
local right, work
if lease.holder ~= '' then right = held_until(K, lease, now) work = right else right, work = free_due(K, A.agent) end
if (work == nil) ~= (not due) or due and tonumber(due) > math.max(work, now) then wrong('due-entry') end
local rung = bell and tonumber(string.match(bell, '^(%d+)')) or 0
if (right == nil) ~= (not look) or look and tonumber(look) > math.max(right, rung, now) then wrong('look-entry') end
if #found == 0 then return { 'SOUND' } end
if A.fix ~= '1' then return { 'FOUND', unpack(found) } end
derive(K, A.agent, now, lease)
record(K, A, now, 'mended', '', '', cjson.encode({ what = found }))
return { 'MENDED', unpack(found) }
