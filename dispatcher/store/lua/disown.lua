#!lua flags=allow-oom
-- disown: what an agent left in a pool where it does not live; with `fix` = 1 it is deleted, in the same step as the look at its home.   O(keys)
-- KEYS   homes @derive mailbox wakes outputs frozen batches fates finals dead handoffs trims deads
-- ARGV   agent pool fix
-- REPLY  {"HOME"} | {"WORK", pool} | {"ORPHANED", pool} | {"DISOWNED", pool}
-- HOME: it lives here, or nobody knows where. WORK: there is work among it, which nobody deletes. `pool`: where the agent lives.
local home = redis.call('HGET', K.homes, A.agent)
local pool = home and string.match(home, '^(%S+)')
if not pool or pool == A.pool then return { 'HOME' } end
if redis.call('EXISTS', K.mailbox, K.frozen, K.dead) > 0 then return { 'WORK', pool } end
if A.fix ~= '1' then return { 'ORPHANED', pool } end
-- writes
redis.call('DEL', K.lease, K.state, K.lane_manual, K.lane_immediate, K.lane_event, K.lane_task, K.lane_scheduled, K.lane_rider, K.lane_deep,
  K.parked, K.blocks, K.mailbox, K.wakes, K.outputs, K.frozen, K.batches, K.fates, K.finals, K.dead, K.handoffs)
for _, index in ipairs({ K.due, K.look, K.trims }) do redis.call('ZREM', index, A.agent) end
for _, index in ipairs({ K.bell, K.leases }) do redis.call('HDEL', index, A.agent) end
redis.call('SREM', K.deads, A.agent)
return { 'DISOWNED', pool }
