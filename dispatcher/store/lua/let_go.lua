#!lua flags=allow-oom
-- let_go: the letter behind a wake that was handed to this agent is gone; its marker may be forgotten in time.   O(log fates)
-- KEYS   clock fates finals trims
-- ARGV   now agent id mark
-- REPLY  {"LET_GO"} | {"NOTHING"}
-- INCLUDE now
-- `mark` stands among the inbox entries of the fate, and `trim` never sees a final fate with one. In its place comes an entry of now: a
-- reviver that was slow may deposit for as long as a router may, and not longer.
local now = slot_now(K, tonumber(A.now))
local stage, revival, entries, rest = string.match(redis.call('HGET', K.fates, A.id) or '', '^(%a+)|(%d+)|([^|]*)|(.*)$')
if not entries then return { 'NOTHING' } end
local first, last = string.find(',' .. entries .. ',', ',' .. A.mark .. ',', 1, true)
if not first then return { 'NOTHING' } end
-- writes
local t = redis.call('TIME')
local entry = string.format('%.0f-0', t[1] * 1000 + math.floor(t[2] / 1000))
entries = string.sub(entries, 1, first - 1) .. entry .. string.sub(entries, last - 1)
redis.call('HSET', K.fates, A.id, table.concat({ stage, revival, entries, rest }, '|'))
if stage ~= 'pending' and stage ~= 'running' and stage ~= 'dead' then
  redis.call('ZADD', K.finals, now, A.id)
  redis.call('ZADD', K.trims, 'NX', now, A.agent)
end
return { 'LET_GO' }
