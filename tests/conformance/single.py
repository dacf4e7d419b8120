"""Single-step vectors: each step calls the pure function that production calls. No rule is repeated here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from dispatcher.core import guards, schedule
from dispatcher.core import session_key as keys
from dispatcher.core.errors import ConfigError, InvalidAddress
from dispatcher.core.models import Intent
from dispatcher.core.resolve import resolve
from dispatcher.core.rules import Rules
from tests.conformance import exec_exit
from tests.conformance.vector import Check, Unsupported, Vector, compare, equals

Adapter = Callable[[Vector], list[str]]


def problems(vector: Vector) -> list[str]:
    """The expectations that do not hold. Raises Unsupported for an unknown area, op or expectation."""
    adapters = AREAS.get(vector.area)
    if adapters is None:
        raise Unsupported(f"unknown area {vector.area!r}")
    unknown = sorted(vector.ops - set(adapters))
    if unknown:
        raise Unsupported(f"unknown op {', '.join(unknown)}")
    if len(vector.ops) > 1:
        raise Unsupported(f"several ops in one vector: {', '.join(sorted(vector.ops))}")
    return adapters[next(iter(vector.ops))](vector)


def _value(name: str, function: Callable[[Mapping[str, Any]], object]) -> Adapter:
    def run(vector: Vector) -> list[str]:
        value = function(vector.only_step())
        return compare(vector.then, {name: equals(value)}, value)

    return run


def _parse(step: Mapping[str, Any]) -> dict[str, str] | None:
    parsed = keys.parse(step["key"])
    return {"agent": parsed.agent_id, "rest": parsed.rest} if parsed else None


def _qualify(vector: Vector) -> list[str]:
    step = vector.only_step()
    try:
        key: str | None = keys.qualify(step["agent"], step["key"] or "", step.get("main_key") or keys.DEFAULT_MAIN_KEY)
        refusal = None
    except InvalidAddress as error:
        key, refusal = None, error
    return compare(vector.then, {"key": equals(key), "error": _refused(refusal)}, key or refusal)


def _owner_of(vector: Vector) -> list[str]:
    step = vector.only_step()
    try:
        agent: str | None = resolve(step["key"], None, {}, step.get("default_agent"), lambda _: True, lambda _: True).agent_id
        refusal = None
    except InvalidAddress as error:
        agent, refusal = None, error
    return compare(vector.then, {"agent": equals(agent), "error": _refused(refusal)}, agent or refusal)


def _refused(refusal: InvalidAddress | None) -> Check:
    """An expected error is true, false or null, a dead letter reason, or words of the message."""

    def check(wanted: Any) -> bool:
        if isinstance(wanted, str):
            return refusal is not None and (wanted == refusal.reason or wanted.lower() in str(refusal).lower())
        if wanted is None or isinstance(wanted, bool):
            return bool(wanted) is (refusal is not None)
        raise Unsupported(f"unknown form of error {wanted!r}")

    return check


def _cron_run_suffix(vector: Vector) -> list[str]:
    base, run = keys.cron_run_suffix(vector.only_step()["key"])
    return compare(vector.then, {"base": equals(base), "run": equals(run)}, (base, run))


def _decide(vector: Vector) -> list[str]:
    step = vector.only_step()
    deferral = guards.cooldown(
        Intent(step["intent"]),
        step["now"],
        tuple(step.get("recent_starts") or ()),
        step.get("last_start"),
        step.get("next_due"),
        Rules(min_spacing_ms=step["min_spacing"]) if "min_spacing" in step else Rules(),
    )
    why, retry_at = (deferral.reason, deferral.until_ms) if deferral else (None, None)
    checks = {"defer": equals(deferral is not None), "why": equals(why), "retry_at": equals(retry_at)}
    return compare(vector.then, checks, (why, retry_at))


def _phase(vector: Vector) -> list[str]:
    steps = [{**vector.given, **step} for step in vector.when for _ in range(step.get("times", 1))]
    seen = [schedule.phase(step["seed"], step["agent"], step["interval"]) for step in steps]
    checks: dict[str, Check] = {
        "equal": equals(len(set(seen)) == 1),
        "phase": lambda wanted: all(value == wanted for value in seen),
        **_bounds(seen),
    }
    return compare(vector.then, checks, seen)


def _bounds(seen: list[int]) -> dict[str, Check]:
    return {
        "min": lambda wanted: min(seen) >= wanted,
        "min_exclusive": lambda wanted: min(seen) > wanted,
        "max": lambda wanted: max(seen) <= wanted,
        "max_exclusive": lambda wanted: max(seen) < wanted,
    }


def _due(function: Callable[[Mapping[str, Any]], int]) -> Adapter:
    def run(vector: Vector) -> list[str]:
        step = vector.only_step()
        started = time.thread_time()  # of this thread, so that a busy machine is no failure
        due = function(step)
        elapsed_ms = (time.thread_time() - started) * 1000
        start = step.get("start", step.get("now", 0))
        checks: dict[str, Check] = {
            "due": equals(due),
            "whole_steps": equals((due - start) % step["interval"] == 0),
            "max_elapsed": lambda wanted: elapsed_ms <= wanted,
            **_bounds([due]),
        }
        return compare(vector.then, checks, (due, f"{elapsed_ms:.1f} ms"))

    return run


def _resolve_due(step: Mapping[str, Any]) -> int:
    before = step.get("previous") or step.get("prev")
    pending = schedule.Cadence(before["interval"], before["phase"], before["next_due"]) if before else None
    return schedule.resolve_due(step["now"], step["interval"], step["phase"], pending)


def _seek_active(step: Mapping[str, Any]) -> int:
    return schedule.seek_active(step["start"], step["interval"], _hours(step["active_utc_hours"]))


def _hours(spec: Any) -> Callable[[int], bool] | None:
    """The predicate that a vector describes; an input, so it is built here."""
    if spec is None:
        return None
    if spec in ("always", "never"):
        return lambda _: bool(spec == "always")
    if not isinstance(spec, dict) or not {"from", "to"} <= set(spec) <= {"from", "to", "offset_ms"}:
        raise Unsupported(f"unknown active_utc_hours {spec!r}")
    first, end, offset_ms = spec["from"], spec["to"], spec.get("offset_ms", 0)

    def active(at_ms: int) -> bool:
        hour = (at_ms + offset_ms) // 3_600_000 % 24
        return bool(first <= hour < end if first <= end else hour >= first or hour < end)

    return active


def _is_active(vector: Vector) -> list[str]:
    step = vector.only_step()
    window, own = step["window"], step.get("agent_user_timezone")
    user_timezone = step.get("user_timezone") or "UTC"
    if own and step.get("agent", own["agent"]) == own["agent"]:
        user_timezone = own["timezone"]
    try:
        hours = schedule.ActiveHours.parse(window["start"], window["end"], window.get("timezone"), user_timezone) if window else None
        active, fault = hours is None or hours.is_active(step["at"]), None
    except ConfigError as error:
        active, fault = None, error
    return compare(vector.then, {"active": equals(active), "error": equals(fault is not None)}, active if fault is None else fault)


AREAS: dict[str, dict[str, Adapter]] = {
    "session-key": {
        "shape": _value("shape", lambda step: str(keys.shape(step["key"]))),
        "parse": _value("parsed", _parse),
        "qualify": _qualify,
        "owner_of": _owner_of,
        "valid_agent_id": _value("valid", lambda step: keys.valid_agent_id(step["id"])),
        "is_sentinel": _value("sentinel", lambda step: keys.is_sentinel(step["key"])),
        "is_cron": _value("cron", lambda step: keys.is_cron(step["key"])),
        "subagent_depth": _value("depth", lambda step: keys.subagent_depth(step["key"])),
        "cron_run_suffix": _cron_run_suffix,
    },
    "cooldown": {"decide": _decide},
    "schedule": {
        "phase": _phase,
        "next_due": _due(lambda step: schedule.next_due(step["now"], step["interval"], step["phase"])),
        "resolve_due": _due(_resolve_due),
        "seek_active": _due(_seek_active),
    },
    "active-hours": {"is_active": _is_active},
    "exec-text": {"command_exits": exec_exit.run},
}
