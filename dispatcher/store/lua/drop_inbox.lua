#!lua flags=allow-oom
-- drop_inbox: an ownerless dead letter is dropped for good; its receipt says so.   O(1)
-- KEYS   seen dead counters
-- ARGV   id reason before
-- REPLY  {"DROPPED"} | {"NOT_DEAD"}
-- `before`: as in drop.
local letter = redis.call('HGET', K.dead, A.id)
if not letter or (A.before ~= '0' and cjson.decode(letter).dead_at >= tonumber(A.before)) then return { 'NOT_DEAD' } end
local head = string.match(redis.call('HGET', K.seen, A.id) or '', '^([^|]*|%d+|[^|]*|%d+|)')
-- writes
redis.call('HDEL', K.dead, A.id)
redis.call('HINCRBY', K.counters, 'dropped', 1)
if head then redis.call('HSET', K.seen, A.id, head .. 'dropped||' .. A.reason) end
return { 'DROPPED' }
