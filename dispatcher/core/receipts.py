"""The lines of the ledger in plain words: what was decided about an agent, and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from dispatcher.core.durations import duration_words

Record = Mapping[str, Any]


class Told(NamedTuple):
    """One decision. `at_ms` is slot time."""

    at_ms: int
    age_ms: int
    what: str
    says: str


def tell(records: Sequence[Record], now_ms: int, newest: int = 20) -> tuple[Told, ...]:
    """The newest decisions, the oldest last. `records` are ledger lines, oldest first."""
    return tuple(
        Told(int(line["at"]), max(0, now_ms - int(line["at"])), str(line["what"]), says(line)) for line in reversed(records[-newest:])
    )


def says(record: Record) -> str:
    """One line of the ledger in words. A word that is not known here is said as it is."""
    detail = record["detail"] if isinstance(record["detail"], dict) else {}
    words = WORDS.get(str(record["what"]))
    return words(record, detail) if words else str(record["what"])


def _begun(record: Record, detail: Record) -> str:
    attempt = int(detail.get("attempt", 1))
    again = f", attempt {attempt}" if attempt > 1 else ""
    return f"heartbeat began: {record['batch']}{again}, completions: {detail.get('n', 0)}, for {detail.get('session', '')}"


def _ran(record: Record, detail: Record) -> str:
    return f"heartbeat ended well: {record['batch']}" + ("" if detail.get("acted", True) else ", nothing came of it")


def _skipped(record: Record, detail: Record) -> str:
    return f"heartbeat skipped: {record['batch']}: {detail.get('reason', '')}"


def _failed(record: Record, detail: Record) -> str:
    return f"heartbeat failed: {record['batch']}: {detail.get('error', '')}; again {_after(detail)}"


def _cancel_asked(record: Record, detail: Record) -> str:
    then = "to run again" if detail.get("retry") else "for good"
    return f"cancelled {then} by {detail.get('by', '')}: {record['batch']}" + (f": {detail['reason']}" if detail.get("reason") else "")


def _cancelled(record: Record, detail: Record) -> str:
    return f"heartbeat broken off: {record['batch']}: {detail.get('error', '')}; again {_after(detail)}"


def _handed_back(record: Record, detail: Record) -> str:
    return f"handed back: {record['batch']}: {detail.get('error', '')}; again {_after(detail)}"


def _busy(record: Record, detail: Record) -> str:
    return f"target busy: {record['batch']}: {detail.get('reason') or detail.get('error') or ''}"


def _after(detail: Record) -> str:
    return f"after {duration_words(int(delay))}" if (delay := detail.get("delay_ms", 0)) else "at once"


def _deferred(record: Record, _: Record) -> str:
    until: dict[tuple[str, int], list[str]] = {}
    for kind, until_ms, reason in record["detail"] or ():
        until.setdefault((str(reason), int(until_ms)), []).append("a retry" if str(kind).startswith("batch:") else str(kind))
    at_ms = int(record["at"])
    parts = [
        f"{reason} for {duration_words(max(0, until_ms - at_ms))} ({', '.join(dict.fromkeys(kinds))})"
        for (reason, until_ms), kinds in until.items()
    ]
    return "deferred: " + ("; ".join(parts) or "nothing was due yet")


def _held(_: Record, detail: Record) -> str:
    hold = json.loads(detail.get("hold") or "{}")
    until = f" for {duration_words(hold['until'] - hold['since'])}" if hold.get("until") else ""
    return f"{hold.get('what', 'held')}{until} by {detail.get('by', '')} with {detail.get('selector', '')}: {hold.get('reason', '')}"


def _resumed(_: Record, detail: Record) -> str:
    return f"resumed by {detail.get('by', '')} with {detail.get('selector', '')}"


def _ticked(_: Record, detail: Record) -> str:
    return "a tick of its cadence came" if detail.get("deposited") else f"its cadence moved on: {detail.get('why', '')}"


def _dead_lettered(record: Record, detail: Record) -> str:
    return f"became dead letters: {record['batch']}, completions: {detail.get('n', 0)}: {detail.get('why') or detail.get('reason', '')}"


WORDS: dict[str, Callable[[Record, Record], str]] = {
    "begun": _begun,
    "ran": _ran,
    "skipped": _skipped,
    "failed": _failed,
    "handed-back": _handed_back,
    "busy": _busy,
    "cancel-asked": _cancel_asked,
    "cancelled": _cancelled,
    "deferred": _deferred,
    "held": _held,
    "resumed": _resumed,
    "ticked": _ticked,
    "dead-lettered": _dead_lettered,
    "taken-over": lambda record, detail: f"taken over: {record['batch']} from {detail.get('from', '')}",
    "reclaimed": lambda _, detail: f"lease taken from {detail.get('holder', '')}, which is gone",
    "mended": lambda _, detail: f"its indexes were mended: {', '.join(map(str, detail.get('what') or ()))}",
    "revived": lambda _, detail: f"revived: {detail.get('id', '')}",
    "dropped": lambda _, detail: f"dropped: {detail.get('id', '')}: {detail.get('reason', '')}",
}
