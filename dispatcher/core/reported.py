"""What a producer reports: a finished exec, or a wake that somebody asks for. The inbox holds both, and a router reads both back."""

from __future__ import annotations

import json

from pydantic import ValidationError

from dispatcher.core import session_key
from dispatcher.core.exec_text import clean, exec_wake
from dispatcher.core.exec_text import quiet_reason as quiet_completion
from dispatcher.core.models import DeadReason, ExecCompletion, Intent, Source, Wake, tail_of
from dispatcher.core.rules import DEEP, RIDER
from dispatcher.core.wake_request import WakeRequest, requested_output, requested_wake

Reported = ExecCompletion | WakeRequest
WAKE_KIND = "wake"


def read_body(body: str) -> Reported:
    """What lies in an inbox entry; without a `kind` it is a completion. Raises pydantic's ValidationError."""
    kind: type[Reported] = WakeRequest if _kind(body) == WAKE_KIND else ExecCompletion
    return kind.model_validate_json(body)


def body_of(reported: Reported) -> str:
    """The text of an inbox entry. The only place where the token is written: a router checks it there and keeps it nowhere."""
    body = reported.model_dump_json(exclude_defaults=True)
    more: dict[str, str] = {"kind": WAKE_KIND} if isinstance(reported, WakeRequest) else {}
    more |= {"token": reported.token} if reported.token else {}
    return json.dumps(more | json.loads(body)) if more else body


def reason_of(error: ValidationError) -> DeadReason:
    """Under which reason a body that cannot be read becomes a dead letter."""
    for fault in error.errors(include_url=False, include_input=False):
        if fault["loc"][:1] == ("session_key",):
            return DeadReason.TOO_LARGE if "at most" in fault["msg"] else DeadReason.MALFORMED_KEY
    return DeadReason.INVALID_COMPLETION


def named_in(body: str) -> tuple[str, str | None]:
    """Key and agent of a body that may be anything, for its dead letter."""
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(words, dict):
        return "", None
    key, agent_id = words.get("session_key"), words.get("agent_id")
    return clean(key) if isinstance(key, str) else "", clean(agent_id)[:64] if isinstance(agent_id, str) else None


def without_token(body: str) -> str:
    """The same entry for a dead letter."""
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        return "" if '"token"' in body else body
    if not isinstance(words, dict) or "token" not in words:
        return body
    del words["token"]
    return json.dumps(words)


def wake_of(reported: Reported, *, via: str, accepted_at_ms: int) -> Wake:
    """The wake that goes into the mailbox."""
    make = requested_wake if isinstance(reported, WakeRequest) else exec_wake
    return make(reported, via=via, accepted_at_ms=accepted_at_ms)  # type: ignore[arg-type]  # chosen by the same test


def output_of(reported: Reported, max_bytes: int) -> str:
    """What lies beside the wake: the end of an output, or a text that is longer than its line."""
    return requested_output(reported, max_bytes) if isinstance(reported, WakeRequest) else tail_of(reported.output, max_bytes)


def quiet_reason(reported: Reported, notify: str) -> str | None:
    """Why nobody needs to hear of it, or None. Somebody asked for a wake: that is never quiet."""
    return None if isinstance(reported, WakeRequest) else quiet_completion(reported, notify)


def lane_of(wake: Wake, session: str, wake_subagents: bool, max_depth: int) -> str:
    """The lane of its intent; the end of a subagent's exec rides along instead of waking by itself.

    What a chain of heartbeats caused that is too long goes slow, whatever it claims to be: an agent could call itself a person.
    """
    if wake.lineage and wake.lineage.depth > max_depth:
        return DEEP
    rides = wake.source is Source.EXEC_EVENT and wake.intent is Intent.EVENT and session_key.is_subagent(session)
    return RIDER if rides and not wake_subagents else wake.intent.value


def _kind(body: str) -> object:
    if '"kind"' not in body:  # spelt with escapes it is no kind that is accepted
        return None
    try:
        words = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return words.get("kind") if isinstance(words, dict) else None
