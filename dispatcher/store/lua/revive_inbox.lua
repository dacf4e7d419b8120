#!lua flags=allow-oom
-- revive_inbox: an ownerless dead letter goes back into the inbox and is resolved afresh; it keeps its id.   O(1)
-- KEYS   stream seen dead announced
-- ARGV   id announce_ms
-- REPLY  {"REVIVED", entry, announce?} | {"NOT_DEAD"}
-- The revival number is part of the dedupe key; `accepted` does not grow.
local raw = redis.call('HGET', K.dead, A.id)
if not raw then return { 'NOT_DEAD' } end
local letter = cjson.decode(raw)
local seen = redis.call('HGET', K.seen, A.id) or ''
local at, digest = string.match(seen, '^[^|]*|(%d+)|([^|]*)|')
-- writes
local revival = string.format('%d', (letter.revival or 0) + 1)
at = at or string.format('%.0f', letter.at)
local entry = redis.call('XADD', K.stream, '*', 'id', A.id, 'revival', revival, 'at', at, 'body', letter.body)
redis.call('HDEL', K.dead, A.id)
if digest then
  redis.call('HSET', K.seen, A.id, table.concat({ entry, at, digest, revival, 'accepted', '', '' }, '|'))
end
return { 'REVIVED', entry, redis.call('SET', K.announced, '1', 'NX', 'PX', A.announce_ms) and 1 or 0 }
