#!lua flags=no-writes,allow-oom
-- watch: the held leases of this slot and pool whose holder shows no presence, but those reclaimed already.   O(held leases)
-- KEYS   leases
-- ARGV   channel
-- REPLY  {"WATCHED", agent, token, renewal, …}
local seen, reply = {}, { 'WATCHED' }
local all = redis.call('HGETALL', K.leases)
for i = 1, #all, 2 do
  local token, renewal, ends, holder = string.match(all[i + 1], '^(%d+)|(%d+)|(%d+)|([^|]*)|')
  if holder and seen[holder] == nil then seen[holder] = redis.call('PUBSUB', 'NUMSUB', A.channel .. holder)[2] end
  if holder and seen[holder] == 0 and ends ~= '0' then
    for _, part in ipairs({ all[i], token, renewal }) do reply[#reply + 1] = part end
  end
end
return reply
