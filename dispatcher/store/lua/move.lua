#!lua flags=allow-oom
-- move: an agent changes its pool; all its keys move in one step inside the slot.   O(keys)
-- KEYS   clock homes pools @from @to
-- ARGV   now agent pool to configured
-- REPLY  {"MOVED"} | {"ALREADY"} | {"LEASE_HELD", until} | {"CHANGED", pool}
-- INCLUDE now fence due batch
-- A lease that ran out a minute ago, or was reclaimed, no longer holds the agent here: its batch is parked and goes along.
local now = slot_now({ clock = K.from_clock }, tonumber(A.now))
local home = redis.call('HGET', K.homes, A.agent)
local pool = home and string.match(home, '^(%S+)')
if pool and pool ~= A.pool then
  if pool == A.to then return { 'ALREADY' } end
  return { 'CHANGED', pool }
end
local FROM, TO = {}, {}
for name, key in pairs(K) do
  local side, bare = string.match(name, '^(%a+)_([%a_]+)$')
  if side == 'from' then FROM[bare] = key elseif side == 'to' then TO[bare] = key end
end
local lease = read_lease(FROM)
if lease.holder ~= '' and lease.ends + 60000 > now then
  return { 'LEASE_HELD', string.format('%.0f', lease.ends) }
end
-- writes
redis.call('HSET', K.homes, A.agent, A.to .. ' ' .. A.configured)
redis.call('SADD', K.pools, A.to)
if A.to == A.pool then return { 'MOVED' } end
if lease.batch ~= '' then take_back(FROM, lease.batch, now) end
if lease.holder ~= '' then release(FROM, A.agent, lease) end
for _, name in ipairs({ 'lease', 'state', 'lane_manual', 'lane_immediate', 'lane_event', 'lane_task', 'lane_scheduled',
  'lane_rider', 'lane_deep', 'parked', 'blocks', 'mailbox', 'wakes', 'outputs', 'frozen', 'batches', 'fates', 'finals', 'dead', 'handoffs' }) do
  if redis.call('EXISTS', FROM[name]) == 1 then redis.call('RENAME', FROM[name], TO[name]) end
end
for _, index in ipairs({ 'due', 'look' }) do redis.call('ZREM', FROM[index], A.agent) end
redis.call('HDEL', FROM.bell, A.agent)
local tick = redis.call('HGET', FROM.ticks, A.agent)
redis.call('HDEL', FROM.ticks, A.agent)
if tick then redis.call('HSET', TO.ticks, A.agent, tick) end
if redis.call('SREM', FROM.deads, A.agent) == 1 then redis.call('SADD', TO.deads, A.agent) end
local trim = redis.call('ZSCORE', FROM.trims, A.agent)
redis.call('ZREM', FROM.trims, A.agent)
if trim then redis.call('ZADD', TO.trims, trim, A.agent) end
-- The other pool's clock must not lie behind: what was due here would be due later there.
local there = redis.call('HGET', TO.clock, 'last')
if not there or tonumber(there) < now then redis.call('HSET', TO.clock, 'last', now) end
derive(TO, A.agent, now, read_lease(TO))
return { 'MOVED' }
