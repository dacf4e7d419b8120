#!/bin/sh
# One turn of an agent. Put the call of your model here: the request is JSON on standard input, and the agent's id is in WAKE_AGENT_ID.
set -eu
request=$(cat)
echo "turn of $WAKE_AGENT_ID in $WAKE_SESSION_KEY, attempt $WAKE_ATTEMPT: ${#request} bytes of what happened"
