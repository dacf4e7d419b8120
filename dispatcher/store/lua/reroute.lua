#!lua flags=allow-oom
-- reroute: the receipt of a revived completion learns its new owner.   O(1)
-- KEYS   seen
-- ARGV   id agent via revival
-- REPLY  {"REROUTED"} | {"FORGOTTEN"} | {"LATE"}
-- The wake lies with the new owner already. FORGOTTEN: the receipt's time is over, there is nothing to correct. LATE: a later revival
-- went elsewhere again.
local head, revival = string.match(redis.call('HGET', K.seen, A.id) or '', '^([^|]*|%d+|[^|]*|)(%d+)|')
if not head then return { 'FORGOTTEN' } end
if tonumber(revival) > tonumber(A.revival) then return { 'LATE' } end
-- writes
redis.call('HSET', K.seen, A.id, head .. A.revival .. '|routed|' .. A.agent .. '|' .. A.via)
return { 'REROUTED' }
