#!lua flags=allow-oom
-- acknowledge: the entry is deposited; it leaves the inbox, and the receipt learns its owner.   O(1)
-- KEYS   stream seen pins caused
-- ARGV   group entry id agent via cause
-- REPLY  {"ACKNOWLEDGED"} | {"GONE"}
-- `cause`: whose heartbeat started the command, or nothing.
-- The receipt of a completion that was revived for another agent meanwhile stays as it is: that one has it.
local found = redis.call('XRANGE', K.stream, A.entry, A.entry)[1]
if not found then return { 'GONE' } end
local mine = 0
for i = 1, #found[2], 2 do
  if found[2][i] == 'revival' then mine = tonumber(found[2][i + 1]) end
end
-- writes
redis.call('XACK', K.stream, A.group, A.entry)
redis.call('XDEL', K.stream, A.entry)
redis.call('HDEL', K.pins, A.entry)
if A.cause ~= '' then redis.call('HINCRBY', K.caused, A.cause, 1) end
local seen = redis.call('HGET', K.seen, A.id)
if seen then
  local head, revival = string.match(seen, '^([^|]*|%d+|[^|]*|(%d+)|)')
  if tonumber(revival) <= mine then redis.call('HSET', K.seen, A.id, head .. 'routed|' .. A.agent .. '|' .. A.via) end
end
return { 'ACKNOWLEDGED' }
