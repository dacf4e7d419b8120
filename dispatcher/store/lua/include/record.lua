-- record: one line of the ledger of this slot and pool, bounded by count. `detail` is a JSON text.
local function record(K, A, now, what, token, batch, detail)
  redis.call('XADD', K.ledger, 'MAXLEN', '~', A.ledger_max, '*', 'agent', A.agent, 'what', what, 'at', string.format('%.0f', now),
    'token', token, 'batch', batch, 'detail', detail)
end
