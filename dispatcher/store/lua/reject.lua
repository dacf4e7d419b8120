#!lua flags=allow-oom
-- reject: an entry that has no owner becomes a dead letter, in the same step as its acknowledgement.   O(1)
-- KEYS   stream seen counters dead pins
-- ARGV   group entry id reason letter max_dead
-- REPLY  {"REJECTED"} | {"GONE"} | {"DEAD_FULL", count}
if #redis.call('XRANGE', K.stream, A.entry, A.entry) == 0 then return { 'GONE' } end
local count = redis.call('HLEN', K.dead)
if count >= tonumber(A.max_dead) then return { 'DEAD_FULL', count } end
-- writes
redis.call('XACK', K.stream, A.group, A.entry)
redis.call('XDEL', K.stream, A.entry)
redis.call('HDEL', K.pins, A.entry)
-- Accepted again after the dedupe time, and ownerless again: one letter stands for both.
if redis.call('HSET', K.dead, A.id, A.letter) == 0 then redis.call('HINCRBY', K.counters, 'suppressed', 1) end
redis.call('HINCRBY', K.counters, 'dead:' .. A.reason, 1)
local head = string.match(redis.call('HGET', K.seen, A.id) or '', '^([^|]*|%d+|[^|]*|%d+|)')
if head then
  redis.call('HSET', K.seen, A.id, head .. 'dead||' .. A.reason)
end
return { 'REJECTED' }
