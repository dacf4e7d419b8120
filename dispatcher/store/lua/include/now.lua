-- slot_now: the time of this slot in ms, and the raw server stamp in µs.  O(1), writes `clock`.
-- Slot time never runs backwards: a step back of the server clock is absorbed by an offset.
-- A given time other than 0 stands in for the server clock, for simulation and tests only.
local function slot_now(K, given_ms)
  local us
  if given_ms > 0 then
    us = given_ms * 1000
  else
    local t = redis.call('TIME')
    us = t[1] * 1000000 + t[2]
  end
  local c = redis.call('HMGET', K.clock, 'last', 'offset')
  local last, offset = tonumber(c[1] or 0), tonumber(c[2] or 0)
  local now = math.floor(us / 1000) + offset
  if now < last then
    redis.call('HSET', K.clock, 'offset', offset + last - now)
    now = last
  elseif now > last then
    redis.call('HSET', K.clock, 'last', now)
  end
  return now, us
end
