#!lua flags=no-writes,allow-oom
-- inspect: what the policy would decide on now, who holds the agent, and what waits in all; changes nothing.   O(lanes · log waiting)
-- KEYS   clock homes @derive mailbox frozen batches dead holds wide_holds
-- ARGV   now agent
-- REPLY  {"INSPECTED", home, lease, snapshot, rest} | {"UNKNOWN"}
-- INCLUDE fence due lane batch snapshot
local t = redis.call('TIME')
local given = tonumber(A.now)
local us = given > 0 and given * 1000 or t[1] * 1000000 + t[2]
local clock = redis.call('HMGET', K.clock, 'last', 'offset')
local now = math.max(tonumber(clock[1] or 0), math.floor(us / 1000) + tonumber(clock[2] or 0))
local home = redis.call('HGET', K.homes, A.agent)
if not home and redis.call('HEXISTS', K.ticks, A.agent) == 0 then return { 'UNKNOWN' } end
local lease = read_lease(K)
lease.held_until = held_until(K, lease, now)
local rest = { waiting = redis.call('ZCARD', K.mailbox) + redis.call('ZCARD', K.frozen), dead = redis.call('HLEN', K.dead), oldest = 0,
  heartbeats = tonumber(redis.call('HGET', K.state, 'heartbeats') or 0), deferrals = {}, blocks = {} }
local function older(at) if at and (rest.oldest == 0 or tonumber(at) < rest.oldest) then rest.oldest = tonumber(at) end end
for _, intent in ipairs(INTENTS) do
  for _, session in ipairs(redis.call('ZRANGE', K['lane_' .. intent], 0, -1)) do
    local _, _, _, at = waiting_parts(lane_range(K, intent, session, 1)[1])
    older(at)
  end
  local deferred = redis.call('HMGET', K.state, 'd:' .. intent, 'w:' .. intent)
  if deferred[1] then rest.deferrals[#rest.deferrals + 1] = { intent, tonumber(deferred[1]), deferred[2] or '' } end
end
for _, batch in ipairs(redis.call('ZRANGE', K.parked, 0, -1)) do
  local first = redis.call('ZRANGEBYLEX', K.frozen, '[' .. batch .. SEP, '(' .. batch .. ' ', 'LIMIT', 0, 1)[1]
  older(first and string.match(first, '^[^\31]*\31[^\31]*\31([^\31]*)\31'))
end
local blocks = redis.call('HGETALL', K.blocks)
for i = 1, math.min(#blocks, 128), 2 do rest.blocks[#rest.blocks + 1] = { blocks[i], blocks[i + 1] } end
if lease.batch ~= '' then
  rest.running = read_batch(K, lease.batch)
  rest.waiting = rest.waiting - (rest.running and rest.running.n or 0)
end
return { 'INSPECTED', home or '', cjson.encode(lease), cjson.encode((take_snapshot(K, A, now, us))), cjson.encode(rest) }
