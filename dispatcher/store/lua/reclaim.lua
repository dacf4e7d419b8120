#!lua flags=allow-oom
-- reclaim: end the lease of a holder that is gone, if it is still the lease that was watched.   O(1)
-- KEYS   clock @derive ledger
-- ARGV   now agent token renewal channel min_uptime_s ledger_max
-- REPLY  {"RECLAIMED", ring?} | {"CHANGED"} | {"PRESENT"} | {"TOO_EARLY"}
-- Early reclaim compares token and renewal, so a holder that lost its presence but still renews keeps its lease; and
-- after a server start every holder has min_uptime_s to come back.
-- INCLUDE now fence due record
local now = slot_now(K, tonumber(A.now))
local lease = read_lease(K)
if lease.holder == '' or lease.ends == 0 or lease.token ~= A.token or lease.renewal ~= tonumber(A.renewal) then return { 'CHANGED' } end
if redis.call('PUBSUB', 'NUMSUB', A.channel .. lease.holder)[2] ~= 0 then return { 'PRESENT' } end
local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
if uptime < tonumber(A.min_uptime_s) then return { 'TOO_EARLY' } end
-- writes
lease.ends = 0
write_lease(K, A.agent, lease)
record(K, A, now, 'reclaimed', lease.token, lease.batch, cjson.encode({ holder = lease.holder }))
redis.call('HSET', K.bell, A.agent, string.format('%.0f|%d', now + BELL_MS, BELL_MS))
derive(K, A.agent, now, lease)
return { 'RECLAIMED', 1 }
