#!lua flags=allow-oom
-- take_dead: remove a dead letter whose revival lies with another owner already, because its key has one now.   O(1)
-- KEYS   dead deads fates counters
-- ARGV   agent id revival
-- REPLY  {"TAKEN"} | {"NOT_DEAD"}
-- The new owner's wake comes first: a crash in between leaves both, and repeating the revival is a duplicate there.
local raw = redis.call('HGET', K.dead, A.id)
if not raw or cjson.decode(raw).revival >= tonumber(A.revival) then return { 'NOT_DEAD' } end
-- writes
redis.call('HDEL', K.dead, A.id)
if tonumber(string.match(redis.call('HGET', K.fates, A.id) or '', '^%a+|(%d+)|') or 0) < tonumber(A.revival) then
  redis.call('HDEL', K.fates, A.id)  -- else it is the marker of the revival, which came back to this agent
end
if redis.call('HLEN', K.dead) == 0 then redis.call('SREM', K.deads, A.agent) end
redis.call('HINCRBY', K.counters, 'revived', 1)
return { 'TAKEN' }
