#!lua
-- submit: accept one completion: dedupe check, record and append in one step.   O(1)
-- KEYS   stream seen order counters announced
-- ARGV   now id digest payload dedupe_ms max_ids max_inbox announce_ms
-- REPLY  {"ACCEPTED", entry, at, announce?} | {"DUPLICATE", entry, at} | {"ID_CONFLICT"} | {"INBOX_FULL", length}
-- `seen`: entry|at|digest|revival|state|agent|via. Refusing is this step's right when memory is short, so it is not allow-oom.
local now = tonumber(A.now)
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local seen = redis.call('HGET', K.seen, A.id)
if seen then
  local entry, at, digest = string.match(seen, '^([^|]*)|(%d+)|([^|]*)|')
  local fresh = tonumber(at) + tonumber(A.dedupe_ms) > now
  if fresh and digest ~= A.digest then return { 'ID_CONFLICT' } end
  if fresh then return { 'DUPLICATE', entry, at } end
end
local length = redis.call('XLEN', K.stream)
if length >= tonumber(A.max_inbox) then return { 'INBOX_FULL', length } end
-- writes
local entry = redis.call('XADD', K.stream, '*', 'id', A.id, 'revival', 0, 'at', string.format('%.0f', now), 'body', A.payload)
redis.call('HSET', K.seen, A.id, table.concat({ entry, string.format('%.0f', now), A.digest, '0', 'accepted', '', '' }, '|'))
redis.call('HINCRBY', K.counters, 'accepted', 1)
redis.call('RPUSH', K.order, A.id)
-- The oldest ids go first, a few per call, so that forgetting never takes long.
for _ = 1, 4 do
  local oldest = redis.call('LINDEX', K.order, 0)
  if not oldest then break end
  local at = string.match(redis.call('HGET', K.seen, oldest) or '', '^[^|]*|(%d+)|')
  local over = redis.call('LLEN', K.order) > tonumber(A.max_ids)
  if not over and at and tonumber(at) + tonumber(A.dedupe_ms) > now then break end
  redis.call('LPOP', K.order)
  if oldest ~= A.id then redis.call('HDEL', K.seen, oldest) end
end
local announce = redis.call('SET', K.announced, '1', 'NX', 'PX', A.announce_ms) and 1 or 0
return { 'ACCEPTED', entry, string.format('%.0f', now), announce }
