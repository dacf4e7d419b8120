"""The `openclaw` runner: a heartbeat is one turn of the agent of the same name behind an OpenClaw gateway, `POST <hooks>/agent`.

The gateway answers when the turn is over. What makes it wait is no turn: 503 says that the session was busy and the request was taken
back. A turn that failed is answered with 200, too, and the gateway gives that answer again to the same key for five minutes; so what is
known to have failed is tried again under the next key, and what is unknown under the same.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from dispatcher.config.credential import Credential
from dispatcher.core.errors import ConfigError
from dispatcher.core.exec_text import clean
from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran
from workers.runners.exchange import Answer, Unanswered, post
from workers.runners.gateway_message import message
from workers.runners.http import retry_after_ms
from workers.runners.protocol import ERROR_CHARS, Control, RunResult, Why, broken_off, trace_headers

BODY_BYTES = 250_000  # the gateway takes 256 KiB
AWAY_MS, LONG_AWAY_MS = 5_000, 600_000
BUSY_STATUSES = (409, 429, 503)
FINAL_STATUSES = (400, 413)  # unknown agent, key prefix that is not allowed, too large: the same request is never accepted


@dataclass(frozen=True)
class OpenClawRunner:
    """Asks the gateway whose hooks are at `url`. 200 with status ok is Ran; 409, 429, 503 and a gateway that is away are Busy; 400 and 413
    are Failed for good; anything else is Failed, and an answer that breaks off is asked for again under the same key.

    At a reason to end the connection is closed; the gateway goes on with a turn that it began, and the next attempt joins it.
    """

    url: str
    token: Credential
    template: str
    ca_file: str | None = None

    def run(self, request: HeartbeatRequest, control: Control) -> RunResult:
        if why := control.why():
            return broken_off(why)
        try:
            token = self.token.lines()[0]
        except ConfigError as error:
            return Failed(error=f"ask the gateway agent={request.agent_id}: {error.problems[0]}")
        if not (token.isascii() and token.isprintable()):
            return Failed(error=f"ask the gateway agent={request.agent_id}: the token has characters that no header can carry; correct it")
        body = self._body(request, control.time_limit_s)
        result: RunResult = Failed(error="not asked")
        for key in _keys(request):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
            headers |= trace_headers(request.trace)
            match post(f"{self.url.rstrip('/')}/agent", body, headers, control, ca_file=self.ca_file):
                case Why() as why:
                    return broken_off(why)
                case Unanswered(_, _, nobody=True):
                    # A batch that runs again is counted each time that it starts, given up after `max_deliveries`: they grow rarer.
                    wait_ms = min(AWAY_MS * 2 ** min(request.attempt - 1, 10), LONG_AWAY_MS)
                    return Busy(reason="channel-not-ready", retry_after_ms=wait_ms)
                case Unanswered(problem):
                    return Failed(error=f"ask the gateway agent={request.agent_id}: {clean(problem)}")
                case answer:
                    result = outcome(answer)
            if answer.status != 200 or not isinstance(result, Failed):
                return result
        return result

    def _body(self, request: HeartbeatRequest, time_limit_s: float) -> bytes:
        # Every field is the same in each attempt: the gateway compares them before it calls a key repeated.
        asked: dict[str, Any] = {
            "agentId": request.agent_id,
            "sessionKey": request.session_key,
            "sessionMode": "persistent",
            "deliver": False,
            "waitForCompletion": True,
            "name": "Wake",
        }
        if time_limit_s >= 1:
            asked["timeoutSeconds"] = int(time_limit_s)
        room_bytes = BODY_BYTES - len(json.dumps(asked))
        while True:
            text = message(self.template, request, room_bytes)
            body = json.dumps(asked | {"message": text}, ensure_ascii=False).encode()
            if len(body) <= BODY_BYTES or room_bytes < len(self.template):
                return body
            room_bytes -= len(body) - BODY_BYTES  # JSON writes a line break as two bytes


def _keys(request: HeartbeatRequest) -> list[str]:
    """The keys to ask under, in this order, until one has another answer than a turn that failed: at most one for each attempt.

    Every attempt asks from the first on, since the worker of an earlier one may have died without telling which answers it got.
    """
    return [request.batch_id, *(f"{request.batch_id}#{attempt}" for attempt in range(2, request.attempt + 1))]


def outcome(answer: Answer) -> RunResult:
    """What a response of the gateway means."""
    said = answer.document()
    if answer.status == 200:
        return _ended(said)
    if answer.status in BUSY_STATUSES:
        return Busy(retry_after_ms=retry_after_ms(answer.headers, time.time()))
    told = said.get("error")
    error = f"HTTP {answer.status}" + (f": {clean(told)[:ERROR_CHARS]}" if isinstance(told, str) else "")
    match answer.status:
        case 401 | 403:
            error += "; the token is not that of hooks.token"
        case 404 | 405:
            error += "; no hooks there: check hooks.enabled and hooks.path, and `url`"
    return Failed(error=error, final=answer.status in FINAL_STATUSES)


def _ended(said: dict[str, Any]) -> RunResult:
    completion, run = said.get("completion"), str(said.get("runId", ""))[:80]
    if said.get("ok") is not True:
        return Failed(error="HTTP 200 without ok: that is no hooks endpoint; check `url`")
    if not isinstance(completion, dict):
        return Ran(note=f"run {run}: the gateway did not wait for its end")
    status = completion.get("status")
    if status == "ok":
        return Ran(note=f"run {run}: reply {completion.get('replyDisposition', 'unknown')}")
    return Failed(error=f"the turn ended with status {status!r}, run {run}; the gateway's log says why"[:ERROR_CHARS])
