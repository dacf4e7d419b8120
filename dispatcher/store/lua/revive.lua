#!lua flags=allow-oom
-- revive: a dead letter of this agent becomes a waiting wake again, due at once; it keeps its id.   O(log waiting)
-- KEYS   clock @derive mailbox wakes outputs fates dead deads handoffs counters ledger
-- ARGV   now agent id ledger_max
-- REPLY  {"REVIVED", ring?} | {"NOT_DEAD"} | {"HANDED_OFF", to}
-- INCLUDE now fence due lane fate handoff record
-- HANDED_OFF: another agent has the completion already, or is about to.
local now = slot_now(K, tonumber(A.now))
local raw = redis.call('HGET', K.dead, A.id)
if not raw then return { 'NOT_DEAD' } end
local letter = cjson.decode(raw)
local to = handed_to(K, A.id, letter)
if to then return { 'HANDED_OFF', to } end
-- writes
local entry = string.match(redis.call('HGET', K.fates, A.id) or '', '^%a+|%d+|([^|]*)|') or ''
redis.call('HDEL', K.dead, A.id)
if redis.call('HLEN', K.dead) == 0 then redis.call('SREM', K.deads, A.agent) end
local seq = string.format('%016d', redis.call('HINCRBY', K.state, 'seq', 1))
redis.call('HSET', K.wakes, seq, letter.wake)
if letter.output ~= '' then redis.call('HSET', K.outputs, seq, letter.output) end
put_wake(K, letter.intent, letter.session, seq, string.format('%.0f', letter.accepted_at), A.id, now)
set_fate(K, A.id, 'pending', string.format('%d', letter.revival + 1), entry, now, '')
redis.call('HINCRBY', K.counters, 'revived', 1)
record(K, A, now, 'revived', '', '', cjson.encode({ id = A.id }))
local lease = read_lease(K)
return { 'REVIVED', announce(K, A.agent, now, derive(K, A.agent, now, lease), lease, true) }
