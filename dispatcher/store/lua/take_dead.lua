#!lua flags=allow-oom
-- take_dead: remove a dead letter whose revival lies with the agent that it was handed to.   O(log fates)
-- KEYS   clock fates finals trims dead deads handoffs counters
-- ARGV   now agent id revival
-- REPLY  {"TAKEN"} | {"NOT_DEAD"}
-- INCLUDE now fate handoff
-- The new owner's wake comes first: a crash in between leaves both, and repeating the revival is a duplicate there. The marker stays
-- as one that is over: a router may still hold an inbox entry that is pinned to this agent.
local now = slot_now(K, tonumber(A.now))
local raw = redis.call('HGET', K.dead, A.id)
local letter = raw and cjson.decode(raw)
local to = letter and letter.revival + 1 == tonumber(A.revival) and handed_to(K, A.id, letter)
if not to then return { 'NOT_DEAD' } end
-- writes
redis.call('HDEL', K.dead, A.id)
redis.call('HDEL', K.handoffs, A.id)
local revival = string.match(redis.call('HGET', K.fates, A.id) or '', '^%a+|(%d+)|')
if revival and tonumber(revival) < tonumber(A.revival) then end_fates(K, A.agent, { A.id }, 'routed', now, to) end
if redis.call('HLEN', K.dead) == 0 then redis.call('SREM', K.deads, A.agent) end
redis.call('HINCRBY', K.counters, 'revived', 1)
return { 'TAKEN' }
