"""The `command_exits` vectors: a completion as a producer reports it, through text, quietness, owner and wake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dispatcher.core.exec_text import exec_wake, quiet_reason
from dispatcher.core.models import ExecCompletion, Wake
from dispatcher.core.resolve import resolve
from dispatcher.core.session_key import is_subagent
from tests.conformance.vector import Check, Unsupported, Vector, compare, equals

COMPLETION_ID = "3f2a91c07d5e4b6a8c1d"


def run(vector: Vector) -> list[str]:
    """The expectations that do not hold."""
    step = vector.only_step()
    wake, session = _reported(step)
    text = wake.text if wake else None
    checks: dict[str, Check] = {
        "event": equals(text),
        "event_contains": lambda wanted: _contains(text, wanted),
        "event_contains_repeat": lambda wanted: text is not None and wanted["char"] * wanted["times"] in text,
        "event_matches": lambda wanted: text is not None and re.search(wanted, text) is not None,
        "lone_surrogate": equals(text is not None and any("\ud800" <= char <= "\udfff" for char in text)),
        "replacement_char": equals(text is not None and "\ufffd" in text),
        "wake": lambda wanted: _same_wake(_as_vector(wake, session), wanted),
    }
    return compare(vector.then, checks, (text, _as_vector(wake, session)))


def _reported(step: Mapping[str, Any]) -> tuple[Wake | None, str]:
    """The wake of this exit and its session; None when no producer reports it or when it is quiet."""
    completion = ExecCompletion(
        completion_id=COMPLETION_ID, session_key=step["session"], run_id=step.get("run"), output=_built(step.get("output")), **_exit(step)
    )
    target = resolve(completion.session_key, None, {}, None, lambda _: True, lambda _: True)
    reported = step.get("backgrounded", True) and step.get("notify_on_exit", True)
    if not reported or quiet_reason(completion, "always" if step.get("notify_empty_success") else "output"):
        return None, target.session_key
    return exec_wake(completion, via=target.via, accepted_at_ms=0), target.session_key


def _exit(step: Mapping[str, Any]) -> dict[str, Any]:
    how = step["exit"]
    if how not in ("code", "signal", "overall-timeout", "manual-cancel"):
        raise Unsupported(f"unknown exit {how!r}")
    if how == "signal" and not step.get("signal"):
        raise Unsupported("exit by a signal without its name")
    return {
        "exit_code": step.get("code"),
        "signal": step.get("signal"),
        "timed_out": how == "overall-timeout",
        "cancelled": how == "manual-cancel",
    }


def _built(spec: Any) -> str:
    """The output that a vector describes: a text, or parts that are texts or repeated texts, in their order."""
    if spec is None or isinstance(spec, str):
        return spec or ""
    if isinstance(spec, list):
        return "".join(map(_built, spec))
    if isinstance(spec, dict):
        repeated = _built(spec["repeat"]) * spec["times"] if "repeat" in spec else ""
        return repeated + "".join(_built(part) for name, part in spec.items() if name not in ("repeat", "times"))
    raise Unsupported(f"unknown form of output {spec!r}")


def _contains(text: str | None, wanted: str | list[str]) -> bool:
    parts = [wanted] if isinstance(wanted, str) else wanted
    return text is not None and all(part in text for part in parts)


def _as_vector(wake: Wake | None, session: str) -> dict[str, Any] | None:
    """The wake in the vectors' words. A rider wakes nobody; an exec wake brings no window of its own, which they write as 0."""
    if wake is None or is_subagent(session):
        return None
    agent = session.split(":")[1]
    return {
        "source": str(wake.source), "intent": str(wake.intent), "reason": wake.reason, "window": 0, "session": session, "agent": agent,
    }  # fmt: skip


def _same_wake(wake: dict[str, Any] | None, wanted: Any) -> bool:
    if wanted is None or isinstance(wanted, bool):
        return (wake is not None) is bool(wanted)
    unknown = sorted(set(wanted) - {"source", "intent", "reason", "window", "session", "agent"})
    if unknown:
        raise Unsupported(f"unknown expectation wake.{', wake.'.join(unknown)}")
    return wake is not None and all(wake[name] == value for name, value in wanted.items())
