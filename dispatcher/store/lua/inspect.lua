#!lua flags=no-writes,allow-oom
-- inspect: what the policy would decide on now, and who holds the agent; changes nothing.   O(lanes shown and blocked · log waiting)
-- KEYS   clock homes @derive mailbox batches holds wide_holds
-- ARGV   now agent
-- REPLY  {"INSPECTED", home, lease, snapshot} | {"UNKNOWN"}
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
return { 'INSPECTED', home or '', cjson.encode(lease), cjson.encode(take_snapshot(K, A, now, us)) }
