-- The lease of one agent: who holds it, until when, under which token. `leases` is the pool's view of the held ones.

local function read_lease(K)
  local v = redis.call('HMGET', K.lease, 'token', 'holder', 'until', 'renewal', 'nonce', 'batch', 'run_until',
    'done_token', 'done_batch')
  return {
    token = v[1] or '0', holder = v[2] or '', ends = tonumber(v[3] or 0), renewal = tonumber(v[4] or 0),
    nonce = v[5] or '', batch = v[6] or '', run_until = tonumber(v[7] or 0),
    done_token = v[8] or '', done_batch = v[9] or '',
  }
end

-- held_until: nobody else may take this lease before that time. A slot that was not swept for more than 1 s (server away,
-- clock stepped forward) grants every lease that was live when the gap began one more ttl, from the first sweep after it.
local function held_until(K, lease, now)
  if lease.holder == '' then return 0 end
  if lease.ends > now then return lease.ends end
  local c = redis.call('HMGET', K.clock, 'swept', 'gap_from', 'gap_until')
  local swept, gap_from, gap_until = tonumber(c[1] or 0), tonumber(c[2] or 0), tonumber(c[3] or 0)
  local spared = lease.ends > gap_from
  if spared and now < gap_until then return gap_until end
  if swept > 0 and now - swept > 1000 and (lease.ends > swept or spared and swept < gap_until) then return now + 1000 end
  return lease.ends
end

-- fenced: the lease if `token` and `holder` are its current ones, else nil and the lease. Expired but not taken still counts.
local function fenced(K, token, holder)
  local lease = read_lease(K)
  if lease.token == token and lease.holder == holder and holder ~= '' then return lease end
  return nil, lease
end

local function write_lease(K, agent, lease)
  redis.call('HSET', K.lease, 'token', lease.token, 'holder', lease.holder, 'until', lease.ends, 'renewal', lease.renewal,
    'nonce', lease.nonce, 'batch', lease.batch, 'run_until', lease.run_until)
  redis.call('HSET', K.leases, agent,
    table.concat({ lease.token, lease.renewal, string.format('%.0f', lease.ends), lease.holder, lease.batch }, '|'))
end

-- release: nobody holds the agent; token and last settled batch stay, so that a late holder is told the truth.
local function release(K, agent, lease)
  lease.holder, lease.ends, lease.batch, lease.nonce = '', 0, '', ''
  redis.call('HSET', K.lease, 'holder', '', 'until', 0, 'batch', '', 'nonce', '', 'run_until', 0)
  redis.call('HDEL', K.leases, agent)
end
