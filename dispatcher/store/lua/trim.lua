#!lua flags=allow-oom
-- trim: forget final fates of one agent that are old or too many, and whose inbox entry is certainly gone.   O(limit · log fates)
-- KEYS   fates finals trims
-- ARGV   agent safe_ms older_ms keep limit
-- REPLY  {"TRIMMED", n}
-- `safe_ms`: an inbox entry that was the oldest long enough ago; what came before it can never be deposited again.
-- writes
local n = 0
local oldest = redis.call('ZRANGE', K.finals, 0, tonumber(A.limit) - 1, 'WITHSCORES')
for i = 1, #oldest, 2 do
  local over = redis.call('ZCARD', K.finals) > tonumber(A.keep)
  local entries = string.match(redis.call('HGET', K.fates, oldest[i]) or '', '^%a+|%d+|([^|]*)') or ''
  local newest = 0
  for ms in string.gmatch(entries, '(%d+)%-%d+') do newest = math.max(newest, tonumber(ms)) end
  if not over and tonumber(oldest[i + 1]) > tonumber(A.older_ms) then break end
  if newest >= tonumber(A.safe_ms) then break end
  redis.call('HDEL', K.fates, oldest[i])
  redis.call('ZREM', K.finals, oldest[i])
  n = n + 1
end
local first = redis.call('ZRANGE', K.finals, 0, 0, 'WITHSCORES')[2]
if first then redis.call('ZADD', K.trims, first, A.agent) else redis.call('ZREM', K.trims, A.agent) end
return { 'TRIMMED', n }
