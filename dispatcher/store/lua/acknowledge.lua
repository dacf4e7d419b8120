#!lua flags=allow-oom
-- acknowledge: these entries are deposited; they leave the inbox, and their receipts learn the owner.   O(entries)
-- KEYS   stream seen pins caused
-- ARGV   group done
-- REPLY  {"ACKNOWLEDGED", n}
-- `done`: JSON, [[entry, id, agent, via, cause, revival], …]; `cause`: whose heartbeat started the command, or ''. `n` of them were still
-- there: another router was quicker with the rest, or an earlier reply was lost. The receipt of a completion that was revived for another
-- agent meanwhile stays as it is: that one has it.
local n = 0
-- writes
for _, one in ipairs(cjson.decode(A.done)) do
  local entry, id, agent, via, cause, mine = unpack(one)
  if redis.call('XDEL', K.stream, entry) == 1 then
    n = n + 1
    redis.call('XACK', K.stream, A.group, entry)
    redis.call('HDEL', K.pins, entry)
    if cause ~= '' then redis.call('HINCRBY', K.caused, cause, 1) end
    local head, revival = string.match(redis.call('HGET', K.seen, id) or '', '^([^|]*|%d+|[^|]*|(%d+)|)')
    if head and tonumber(revival) <= mine then redis.call('HSET', K.seen, id, head .. 'routed|' .. agent .. '|' .. via) end
  end
end
return { 'ACKNOWLEDGED', n }
