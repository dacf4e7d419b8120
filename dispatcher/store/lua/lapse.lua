#!lua flags=allow-oom
-- lapse: forget the holds of one slot whose time is over; whom they held was due again at that time.   O(holds)
-- KEYS   holds wide_holds
-- ARGV   now
-- REPLY  {"LAPSED", n}
-- `now`: real ms, as in `until`; 0: the server's time.
local given = tonumber(A.now)
local time = redis.call('TIME')
local now = given > 0 and given or math.floor(time[1] * 1000 + time[2] / 1000)
-- writes
local n = 0
for _, key in ipairs({ K.holds, K.wide_holds }) do
  local held = redis.call('HGETALL', key)
  for i = 1, #held, 2 do
    local till = cjson.decode(held[i + 1])['until'] or 0
    if till > 0 and till <= now then n = n + redis.call('HDEL', key, held[i]) end
  end
end
return { 'LAPSED', n }
