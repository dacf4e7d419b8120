#!lua flags=allow-oom
-- claim: take inbox entries for one router: first those idle with another router for too long, then new ones.   O(limit)
-- KEYS   stream announced
-- ARGV   now group consumer limit idle_ms stay_ms
-- REPLY  {"CLAIMED", read_at, taken}   taken: JSON, [[entry, deliveries, [field, value, …]], …]
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
-- Producers tell routers again once none of them is going to look by itself. One that took all it may comes again at once; one that stays
-- comes again within stay_ms, and another one that finds nothing must not take that back.
if tonumber(A.stay_ms) > 0 then
  redis.call('SET', K.announced, A.consumer, 'PX', A.stay_ms)
elseif #taken < limit then
  local told = redis.call('GET', K.announced)
  if told == '1' or told == A.consumer then redis.call('DEL', K.announced) end
end
return { 'CLAIMED', read_at, #taken > 0 and cjson.encode(taken) or '[]' }
