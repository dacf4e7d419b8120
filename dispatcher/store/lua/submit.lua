#!lua
-- submit: accept completions, each for itself: dedupe check, record and append in one step.   O(page)
-- KEYS   stream seen order counters announced
-- ARGV   now page dedupe_ms max_ids max_inbox announce_ms
-- REPLY  {"SUBMITTED", announce?, answers}   JSON, as a page is read several times faster so:
--        [["ACCEPTED", entry, at] | ["DUPLICATE", entry, at] | ["ID_CONFLICT"] | ["INBOX_FULL", length], …]
-- `page`: JSON, [[id, digest, body, at], …]; an `at` other than 0 stands in for now. `seen`: entry|at|digest|revival|state|agent|via.
-- Refusing is this step's right when memory is short, so it is not allow-oom.
local now = tonumber(A.now)
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local page = cjson.decode(A.page)
local length = redis.call('XLEN', K.stream)
local answers, fresh, twins, told = {}, {}, {}, nil
for i, one in ipairs(page) do
  local id, digest, at = one[1], one[2], one[4] > 0 and one[4] or now
  local first = twins[id]
  local seen = not first and redis.call('HGET', K.seen, id)
  local entry, before, known = string.match(seen or '', '^([^|]*)|(%d+)|([^|]*)|')
  if first then
    answers[i] = page[first][2] == digest and first or { 'ID_CONFLICT' }
  elseif before and tonumber(before) + tonumber(A.dedupe_ms) > at then
    answers[i] = known == digest and { 'DUPLICATE', entry, before } or { 'ID_CONFLICT' }
    told = { id, seen }
  elseif length + #fresh >= tonumber(A.max_inbox) then
    answers[i] = { 'INBOX_FULL', length + #fresh }
  else
    fresh[#fresh + 1], twins[id] = i, i
  end
end
-- writes
-- As it was: who waits for replicas waits for all up to what his call wrote, and what a duplicate tells of must be there too.
if told then redis.call('HSET', K.seen, told[1], told[2]) end
for _, i in ipairs(fresh) do
  local id, digest, body, at = unpack(page[i])
  now = at > 0 and at or now
  at = string.format('%.0f', now)
  local entry = redis.call('XADD', K.stream, '*', 'id', id, 'revival', 0, 'at', at, 'body', body)
  redis.call('HSET', K.seen, id, table.concat({ entry, at, digest, '0', 'accepted', '', '' }, '|'))
  redis.call('RPUSH', K.order, id)
  answers[i] = { 'ACCEPTED', entry, at }
end
-- The oldest ids go first, a few for each new one, so that forgetting never takes long.
for _ = 1, 4 * #fresh do
  local oldest = redis.call('LINDEX', K.order, 0)
  if not oldest then break end
  local at = string.match(redis.call('HGET', K.seen, oldest) or '', '^[^|]*|(%d+)|')
  local over = redis.call('LLEN', K.order) > tonumber(A.max_ids)
  if not over and at and tonumber(at) + tonumber(A.dedupe_ms) > now then break end
  redis.call('LPOP', K.order)
  if not twins[oldest] then redis.call('HDEL', K.seen, oldest) end
end
for i, answer in ipairs(answers) do
  if type(answer) == 'number' then answers[i] = { 'DUPLICATE', answers[answer][2], answers[answer][3] } end
end
if #fresh == 0 then return { 'SUBMITTED', 0, cjson.encode(answers) } end
redis.call('HINCRBY', K.counters, 'accepted', #fresh)
return { 'SUBMITTED', redis.call('SET', K.announced, '1', 'NX', 'PX', A.announce_ms) and 1 or 0, cjson.encode(answers) }
