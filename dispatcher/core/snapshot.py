"""What the policy decides on: the state of one agent at one moment, as acquire hands it out under the lease."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
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
    """A frozen batch that waits for its next attempt. `bypass`: it is the same start, taken over or handed back.
    `cancelled`: an operator wanted it to end while it ran, and its holder did not live to do so."""

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
    cancelled: bool = False


class Deferral(NamedTuple):
    """Not before `until_ms`, because of `reason`. `kind` is an intent, `deep`, or `batch:<id>` for a parked batch."""

    kind: str
    until_ms: int
    reason: str


class Hold(NamedTuple):
    """What an operator said of an agent, a pattern or a pool: `what` is `paused` or `draining`. Times are real; `until_ms` 0 is open."""

    selector: str
    what: str
    reason: str
    by: str
    since_ms: int
    until_ms: int


class Tick(NamedTuple):
    """The pending tick of a cadence in real time, and what it was computed from."""

    next_ms: int
    cadence: str


class Snapshot(NamedTuple):
    """One agent at `now_ms` of its slot, which is `real_ms` on the wall. `starts_ms` are the recorded starts, oldest first; the last
    one is what spacing counts from. `due_ms` is since when something could run. `spent` counts starts by hour of slot time. `depth` is
    the lineage depth of the newest wake that lies too deep."""

    now_ms: int
    seq: int
    starts_ms: tuple[int, ...]
    lanes: tuple[Lane, ...]
    parked: tuple[Parked, ...]
    real_ms: int = 0
    due_ms: int = 0
    tick: Tick | None = None
    holds: tuple[Hold, ...] = ()
    spent: tuple[tuple[int, int], ...] = ()
    depth: int = 0

    def slot_ms(self, real_ms: int) -> int:
        """An instant of the wall as slot time."""
        return real_ms + self.now_ms - (self.real_ms or self.now_ms)


def snapshot_from(shown: dict[str, Any], agent_id: str = "", pool: str = "") -> Snapshot:
    """The value behind the JSON of acquire.lua and inspect.lua, whose empty lists come as `{}`."""
    tick = shown.get("tick") or ""
    return Snapshot(
        now_ms=int(shown["now"]),
        seq=int(shown["seq"]),
        starts_ms=tuple(int(start.partition(":")[0]) for start in shown["starts"].split()),
        lanes=tuple(Lane(i, s, int(due), int(n), int(at), int(seq), int(block)) for i, s, due, n, at, seq, block in shown["lanes"] or ()),
        parked=tuple(_parked(batch, not_before, meta) for batch, not_before, meta in shown["parked"] or ()),
        real_ms=int(shown.get("real", shown["now"])),
        due_ms=int(shown.get("due", 0)),
        tick=tick_from(tick),
        holds=holds_from(agent_id, pool, shown.get("hold") or "", shown.get("wide") or []),
        spent=tuple((int(hour), int(count)) for hour, count in (part.split(":") for part in shown.get("spent", "").split())),
        depth=int(shown.get("depth", 0)),
    )


def tick_from(raw: str | None) -> Tick | None:
    """`<next>|<cadence>` as it is stored."""
    if not raw:
        return None
    next_ms, _, cadence = raw.partition("|")
    return Tick(int(next_ms), cadence)


def holds_from(agent_id: str, pool: str, own: str, wide: list[str]) -> tuple[Hold, ...]:
    """The holds that bind this agent: its own, then those of patterns and pools. `wide` is a flat list of selector, record."""
    found = [hold_from(agent_id, own)] if own else []
    found += [hold_from(selector, raw) for selector, raw in zip(wide[::2], wide[1::2], strict=True) if covers(selector, agent_id, pool)]
    return tuple(found)


def covers(selector: str, agent_id: str, pool: str) -> bool:
    """Whether `ops`, `lab-*` or `pool:research` means this agent."""
    kind, colon, name = selector.partition(":")
    return name == pool if colon and kind == "pool" else fnmatchcase(agent_id, selector)


def hold_from(selector: str, raw: str) -> Hold:
    """A hold as it is stored."""
    said = json.loads(raw)
    return Hold(selector, said["what"], said.get("reason", ""), said.get("by", ""), int(said["since"]), int(said.get("until", 0)))


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
        bool(meta.get("cancel")),
    )
