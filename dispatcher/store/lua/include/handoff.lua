-- handed_to: the agent that this dead letter is being revived for, elsewhere; nothing if none. A note about an earlier letter of the
-- same id does not count.
local function handed_to(K, id, letter)
  local raw = redis.call('HGET', K.handoffs, id)
  local handoff = raw and cjson.decode(raw)
  return handoff and handoff.revival == letter.revival + 1 and handoff.to or nil
end
