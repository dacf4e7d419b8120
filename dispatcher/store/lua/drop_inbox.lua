#!lua flags=allow-oom
-- drop_inbox: an ownerless dead letter is dropped for good; its receipt says so.   O(1)
-- KEYS   seen dead counters
-- ARGV   id
-- REPLY  {"DROPPED"} | {"NOT_DEAD"}
local letter = redis.call('HGET', K.dead, A.id)
if not letter then return { 'NOT_DEAD' } end
local head = string.match(redis.call('HGET', K.seen, A.id) or '', '^([^|]*|%d+|[^|]*|%d+|)')
-- writes
redis.call('HDEL', K.dead, A.id)
redis.call('HINCRBY', K.counters, 'dropped', 1)
if head then redis.call('HSET', K.seen, A.id, head .. 'dropped||') end
return { 'DROPPED' }
