#!lua flags=allow-oom
-- reroute: the receipt of a revived completion learns its new owner.   O(1)
-- KEYS   seen
-- ARGV   id agent via
-- REPLY  {"REROUTED"} | {"FORGOTTEN"}
-- The wake lies with the new owner already. FORGOTTEN: the receipt's time is over, there is nothing to correct.
local head = string.match(redis.call('HGET', K.seen, A.id) or '', '^([^|]*|%d+|[^|]*|%d+|)')
if not head then return { 'FORGOTTEN' } end
-- writes
redis.call('HSET', K.seen, A.id, head .. 'routed|' .. A.agent .. '|' .. A.via)
return { 'REROUTED' }
