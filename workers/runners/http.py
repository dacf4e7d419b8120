"""The `http` runner: a heartbeat is one signed POST of the request, the status of the response is the answer.

Signed as Standard Webhooks has it. The id is the batch id, the same in every attempt, so that a receiver which knows only that standard
already deduplicates as it should; what grows with each attempt is the fencing token.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from standardwebhooks.webhooks import Webhook

import dispatcher
from dispatcher.config.credential import Credential
from dispatcher.core.errors import ConfigError
from dispatcher.core.exec_text import clean
from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran
from workers.runners.exchange import Answer, Unanswered, post
from workers.runners.protocol import ERROR_CHARS, NOTE_CHARS, Control, RunResult, Why, broken_off, trace_headers

TOKEN_HEADER = "Wake-Fencing-Token"
BUSY_STATUSES = (409, 423, 429, 503)
KEY_BYTES = range(24, 65)  # what Standard Webhooks allows
MAX_RETRY_AFTER_MS = 3_600_000  # nothing with work is looked at later than in an hour


@dataclass(frozen=True)
class HttpRunner:
    """Posts the request to `url`. 2xx is Ran, 409, 423, 429 and 503 are Busy, another 4xx is Failed for good, anything else is Failed.

    With each line of the secret the request is signed once, so that a key can be replaced without a refused heartbeat. At a reason to end
    the connection is closed at once: what the receiver does with the turn then is its affair, the fencing token tells it who is late.
    """

    url: str
    secret: Credential
    ca_file: str | None = None

    def run(self, request: HeartbeatRequest, control: Control) -> RunResult:
        if why := control.why():
            return broken_off(why)
        body = request.model_dump_json().encode()
        try:
            headers = signed(request, body, self.secret.lines(), datetime.now(UTC))
        except ConfigError as error:
            return Failed(error=f"sign the heartbeat agent={request.agent_id}: {error.problems[0]}")
        match post(self.url, body, headers, control, ca_file=self.ca_file):
            case Why() as why:
                return broken_off(why)
            case Unanswered(problem):
                return Failed(error=f"post the heartbeat agent={request.agent_id}: {clean(problem)}")
            case answer:
                return outcome(answer)


def signed(request: HeartbeatRequest, body: bytes, secrets: list[str], now: datetime) -> dict[str, str]:
    """The headers of one attempt. Raises ConfigError for a secret that is none; its text is not repeated."""
    signatures = [Webhook(_key(secret)).sign(request.batch_id, now, body.decode()) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"wake-dispatcher/{dispatcher.__version__}",
        "webhook-id": request.batch_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        "Idempotency-Key": request.batch_id,
        TOKEN_HEADER: str(request.token),
        **trace_headers(request.trace),
    }


def _key(secret: str) -> bytes:
    # The library decodes whatever it is given; a password would silently become a short key.
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in KEY_BYTES:
        raise ConfigError(['the secret must be 24 to 64 bytes in base64, behind "whsec_"; make one: echo whsec_$(openssl rand -base64 32)'])
    return key


def outcome(answer: Answer) -> RunResult:
    """What a response means."""
    status = answer.status
    if 200 <= status < 300:
        return _ran(answer)
    if status in BUSY_STATUSES:
        return Busy(retry_after_ms=retry_after_ms(answer.headers, time.time()))
    error = f"HTTP {status}"
    if 300 <= status < 400:
        error += ", a redirect, which is not followed; set `url` to where it leads"
    elif said := " ".join(clean(answer.body.decode(errors="replace")).split()):
        error += f": {said[:ERROR_CHARS]}"
    return Failed(error=error, final=400 <= status < 500)


def _ran(answer: Answer) -> Ran:
    """A body that says nothing we know is no fault: the status has said that the turn took place."""
    said = answer.document()
    note = said.get("note")
    return Ran(acted=said.get("acted") is not False, note=clean(note)[:NOTE_CHARS] if isinstance(note, str) else "")


def retry_after_ms(headers: Mapping[str, str], now_s: float) -> int | None:
    """`Retry-After` as seconds or as a date, by the receiver's own clock if it tells it; None without one. At most an hour."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(int(asked[:9]) * 1000, MAX_RETRY_AFTER_MS)
    until_s, told_s = _date_s(asked), _date_s(headers.get("date", ""))
    if until_s is None:
        return None
    return min(max(0, int((until_s - (now_s if told_s is None else told_s)) * 1000)), MAX_RETRY_AFTER_MS)


def _date_s(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
