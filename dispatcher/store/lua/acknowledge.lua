#!lua flags=allow-oom
-- acknowledge: the entry is deposited; it leaves the inbox, and the receipt learns its owner.   O(1)
-- KEYS   stream seen pins caused
-- ARGV   group entry id agent via cause
-- REPLY  {"ACKNOWLEDGED"} | {"GONE"}
-- `cause`: whose heartbeat started the command, or nothing.
if #redis.call('XRANGE', K.stream, A.entry, A.entry) == 0 then return { 'GONE' } end
-- writes
redis.call('XACK', K.stream, A.group, A.entry)
redis.call('XDEL', K.stream, A.entry)
redis.call('HDEL', K.pins, A.entry)
if A.cause ~= '' then redis.call('HINCRBY', K.caused, A.cause, 1) end
local seen = redis.call('HGET', K.seen, A.id)
if seen then
  local head = string.match(seen, '^([^|]*|%d+|[^|]*|%d+|)')
  redis.call('HSET', K.seen, A.id, head .. 'routed|' .. A.agent .. '|' .. A.via)
end
return { 'ACKNOWLEDGED' }
