"""Identity of a completion: fixed before the first try, so that a retry after a lost reply carries the same id."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from uuid_utils import uuid7

from dispatcher.core.errors import InvalidCompletion
from dispatcher.core.reported import Reported
from dispatcher.core.session_key import canonical
from dispatcher.core.wake_request import WakeRequest

# `trace`, `lineage` and `token` belong to one try of the producer and `v` to its release; none of them makes it another completion.
_NOT_PAYLOAD = frozenset({"completion_id", "wake_id", "session_key", "agent_id", "trace", "lineage", "token", "v", "kind"})

# ASCII escapes make the bytes defined even for a lone surrogate.
_CANONICAL = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def new_completion_id() -> str:
    """A UUIDv7: unique, and ordered by the time of its making."""
    return str(uuid7())


def derive_completion_id(session_key: str, run_id: str, step_id: str) -> str:
    """The id of one step of one run in one session: 40 hex digits, the same for every spelling of the session key.

    A run has many execs, so a run id alone names none of them. Raises InvalidCompletion if one of the three is blank.
    """
    parts = {"session_key": canonical(session_key), "run_id": run_id, "step_id": step_id}
    blank = [name for name, text in parts.items() if not text.strip()]
    if blank:
        raise InvalidCompletion(f"derive a completion id: {', '.join(blank)} is blank; give all three, or an explicit completion_id")
    return _digest(list(parts.values()), 20)


def payload_digest(completion: Reported) -> str:
    """Short hash of what was reported: kind, canonical session key, agent and payload without id and trace; 32 hex digits.

    Equal for retries of one value, whatever the spelling of the key or the time zone of its times. Raises InvalidCompletion for an
    unknown field that is not JSON.
    """
    fields = completion.__dict__ | (completion.__pydantic_extra__ or {})  # as iterating over it would give them, at a third of the time
    payload = {name: _utc(value) for name, value in fields.items() if value is not None and name not in _NOT_PAYLOAD}
    agent_id = (completion.agent_id or "").strip().lower()
    try:
        kind = ["wake"] if isinstance(completion, WakeRequest) else []
        return _digest([canonical(completion.session_key), agent_id, payload, *kind], 16)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidCompletion(f"submit {completion.completion_id}: a field is not JSON ({error}); send what JSON can hold") from error


def _utc(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _digest(value: object, size_bytes: int) -> str:
    return blake2b(_CANONICAL.encode(value).encode("ascii"), digest_size=size_bytes).hexdigest()
