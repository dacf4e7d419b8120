#!lua flags=allow-oom
-- handoff: a dead letter is revived for another agent: which one is noted here before its wake is deposited there.   O(1)
-- KEYS   clock dead fates handoffs
-- ARGV   now agent id revival to session via
-- REPLY  {"HANDED", handoff, at} | {"NOT_DEAD"}
-- INCLUDE now handoff
-- The first note holds until the letter is taken: whoever repeats the revival carries on with that agent, whoever owns the key by then.
-- `handoff` is JSON: to, session, via, revival, entries, at. The second `at` is the server's time now: the deposit has to follow soon.
local _, us = slot_now(K, tonumber(A.now))
local raw = redis.call('HGET', K.dead, A.id)
local letter = raw and cjson.decode(raw)
if not letter or letter.revival + 1 ~= tonumber(A.revival) then return { 'NOT_DEAD' } end
local at = string.format('%.0f', math.floor(us / 1000))
if handed_to(K, A.id, letter) then return { 'HANDED', redis.call('HGET', K.handoffs, A.id), at } end
-- writes
local entries = {}
for entry in string.gmatch(string.match(redis.call('HGET', K.fates, A.id) or '', '^%a+|%d+|([^|]*)|') or '', '[^,]+') do
  if string.sub(entry, 1, 5) ~= 'from:' then entries[#entries + 1] = entry end
end
local handoff = cjson.encode({ to = A.to, session = A.session, via = A.via, revival = tonumber(A.revival),
  entries = table.concat(entries, ','), at = tonumber(at) })
redis.call('HSET', K.handoffs, A.id, handoff)
return { 'HANDED', handoff, at }
