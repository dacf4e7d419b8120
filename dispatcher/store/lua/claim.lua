#!lua flags=allow-oom
-- claim: take inbox entries for one router: first those idle with another router for too long, then new ones.   O(limit)
-- KEYS   stream announced
-- ARGV   now group consumer limit idle_ms stay
-- REPLY  {"CLAIMED", read_at, {{entry, deliveries, fields}, …}}
-- Two routers never read the same entry at once; an entry comes back when its router dies.
local t = redis.call('TIME')
local read_at = string.format('%.0f', tonumber(A.now) > 0 and tonumber(A.now) or t[1] * 1000 + math.floor(t[2] / 1000))
-- writes
local taken = {}
local limit = tonumber(A.limit)
local idle = redis.call('XAUTOCLAIM', K.stream, A.group, A.consumer, A.idle_ms, '0-0', 'COUNT', limit)
for _, entry in ipairs(idle[2]) do
  local pending = redis.call('XPENDING', K.stream, A.group, entry[1], entry[1], 1)
  taken[#taken + 1] = { entry[1], pending[1] and pending[1][4] or 1, entry[2] }
end
if #taken < limit then
  local fresh = redis.call('XREADGROUP', 'GROUP', A.group, A.consumer, 'COUNT', limit - #taken, 'STREAMS', K.stream, '>')
  if fresh then
    for _, entry in ipairs(fresh[1][2]) do taken[#taken + 1] = { entry[1], 1, entry[2] } end
  end
end
-- Producers announce again once nobody is going to look by itself: a router comes again when it took all it may and, where it says that it
-- stays, when it took any.
if #taken < (A.stay == '1' and 1 or limit) then redis.call('DEL', K.announced) end
return { 'CLAIMED', read_at, taken }
