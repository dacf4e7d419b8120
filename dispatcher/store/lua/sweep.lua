#!lua flags=allow-oom
-- sweep: which agents of this slot and pool must be rung now, and when the next one is due.   O(rung · log agents)
-- KEYS   clock look bell
-- ARGV   now limit ttl_ms backlog
-- REPLY  {"SWEPT", next_ms, agent, …}   next_ms: -1 if nothing waits, else the time until the next look
-- The ring is recorded in `bell`/`look`, so that the due score keeps its meaning. While the queue has a backlog an
-- unanswered doorbell is repeated after 2 s, doubling to 60 s, else every 2 s.
-- INCLUDE now
local now = slot_now(K, tonumber(A.now))
local c = redis.call('HMGET', K.clock, 'swept', 'gap_from', 'gap_until')
local swept, ttl_ms = tonumber(c[1] or 0), tonumber(A.ttl_ms)
-- writes
if swept > 0 and now - swept > 1000 then
  -- A gap while the last one still spared leases: they are spared further, but for no more than two ttl in all.
  local gap_from = swept
  if tonumber(c[3] or 0) > swept then gap_from = math.max(tonumber(c[2]), swept - 2 * ttl_ms) end
  redis.call('HSET', K.clock, 'gap_from', gap_from, 'gap_until', now + ttl_ms)
end
redis.call('HSET', K.clock, 'swept', now)
local due = redis.call('ZRANGEBYSCORE', K.look, '-inf', now, 'LIMIT', 0, A.limit)
local reply = { 'SWEPT', -1 }
for _, agent in ipairs(due) do
  local interval = tonumber(string.match(redis.call('HGET', K.bell, agent) or '', '|(%d+)$'))
  interval = interval and A.backlog == '1' and math.min(interval * 2, 60000) or 2000
  redis.call('HSET', K.bell, agent, string.format('%.0f|%d', now + interval, interval))
  redis.call('ZADD', K.look, now + interval, agent)
  reply[#reply + 1] = agent
end
local next_look = redis.call('ZRANGE', K.look, 0, 0, 'WITHSCORES')[2]
if next_look then reply[2] = math.max(0, tonumber(next_look) - now) end
return reply
