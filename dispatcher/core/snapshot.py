"""What the policy decides on: the state of one agent at one moment, as acquire hands it out under the lease."""

from __future__ import annotations

from typing import Any, NamedTuple

from dispatcher.core.models import Intent


class Lane(NamedTuple):
    """The waiting wakes of one intent for one session. `blocked_until_ms` is 0 when nothing binds them."""

    intent: str
    session_key: str
    due_ms: int
    waiting: int
    oldest_at_ms: int
    oldest_seq: int
    blocked_until_ms: int


class Parked(NamedTuple):
    """A frozen batch that waits for its next attempt. `bypass`: it is the same start, taken over or handed back."""

    batch_id: str
    session_key: str
    not_before_ms: int
    created_at_ms: int
    intent: str
    urgent: str | None
    attempt: int
    failures: int
    deliveries: int
    bypass: bool


class Deferral(NamedTuple):
    """Not before `until_ms`, because of `reason`. `kind` is an intent, or `batch:<id>` for a parked batch."""

    kind: str
    until_ms: int
    reason: str


class Snapshot(NamedTuple):
    """One agent at `now_ms`. `starts_ms` are the recorded starts, oldest first; the last one is what spacing counts from."""

    now_ms: int
    seq: int
    starts_ms: tuple[int, ...]
    lanes: tuple[Lane, ...]
    parked: tuple[Parked, ...]


def snapshot_from(shown: dict[str, Any]) -> Snapshot:
    """The value behind the JSON of acquire.lua, whose empty lists come as `{}`."""
    return Snapshot(
        now_ms=int(shown["now"]),
        seq=int(shown["seq"]),
        starts_ms=tuple(int(start.partition(":")[0]) for start in shown["starts"].split()),
        lanes=tuple(Lane(i, s, int(due), int(n), int(at), int(seq), int(block)) for i, s, due, n, at, seq, block in shown["lanes"] or ()),
        parked=tuple(_parked(batch, not_before, meta) for batch, not_before, meta in shown["parked"] or ()),
    )


def _parked(batch_id: str, not_before: float, meta: dict[str, Any]) -> Parked:
    return Parked(
        batch_id,
        meta["session"],
        int(not_before),
        int(meta["created"]),
        meta.get("intent", Intent.EVENT),
        meta.get("urgent"),
        int(meta["attempt"]),
        int(meta["failures"]),
        int(meta["deliveries"]),
        bool(meta.get("bypass")),
    )
