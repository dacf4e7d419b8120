"""All that the store knows of one agent at one moment, for people: the snapshot of the policy, who holds it, and what waits in all."""

from __future__ import annotations

from typing import Any, NamedTuple

from dispatcher.core.snapshot import Deferral, Snapshot, snapshot_from


class Held(NamedTuple):
    """A live lease. `batch_id` is empty while its holder decides. `until_ms`: when somebody else may take it."""

    holder: str
    token: int
    until_ms: int
    batch_id: str


class BatchSeen(NamedTuple):
    """A frozen batch. `deferred`: why it waits although its backoff is over; empty otherwise."""

    batch_id: str
    session_key: str
    size: int
    attempt: int
    failures: int
    created_ms: int
    not_before_ms: int
    deferred: str
    errors: tuple[str, ...]


class Block(NamedTuple):
    """A session that takes no turn: `all_ms` binds every wake, `rest_ms` all but a person's; `batch_id` is parked for it, or empty."""

    session_key: str
    batch_id: str
    all_ms: int
    rest_ms: int
    reason: str


class Inspected(NamedTuple):
    """One agent. All times are of its slot, as in the snapshot. `waiting` counts parked completions, not running ones."""

    agent_id: str
    pool: str
    snapshot: Snapshot
    held: Held | None = None
    running: BatchSeen | None = None
    parked: tuple[BatchSeen, ...] = ()
    blocks: tuple[Block, ...] = ()
    deferrals: tuple[Deferral, ...] = ()
    waiting: int = 0
    oldest_at_ms: int = 0
    dead: int = 0
    heartbeats: int = 0

    def real_ms(self, slot_ms: int) -> int:
        """An instant of slot time on the wall."""
        return slot_ms - self.snapshot.now_ms + (self.snapshot.real_ms or self.snapshot.now_ms)


def inspected_from(agent_id: str, pool: str, lease: dict[str, Any], shown: dict[str, Any], rest: dict[str, Any]) -> Inspected:
    """The value behind the three JSON texts of inspect.lua."""
    running = _batch(lease["batch"], rest["running"], 0) if rest.get("running") else None
    return Inspected(
        agent_id,
        pool,
        snapshot_from(shown, agent_id, pool),
        Held(lease["holder"], int(lease["token"]), int(lease["held_until"]), lease["batch"]) if lease["holder"] else None,
        running,
        tuple(_batch(batch, meta, not_before) for batch, not_before, meta in shown["parked"] or ()),
        tuple(_block(session, raw) for session, raw in rest["blocks"] or ()),
        tuple(Deferral(kind, int(until), reason) for kind, until, reason in rest["deferrals"] or ()),
        int(rest["waiting"]),
        int(rest["oldest"]),
        int(rest["dead"]),
        int(rest["heartbeats"]),
    )


def nobody(agent_id: str, pool: str, snapshot: Snapshot) -> Inspected:
    """An agent of which the store knows nothing but the holds in `snapshot`."""
    return Inspected(agent_id, pool, snapshot)


def _batch(batch_id: str, meta: dict[str, Any], not_before: float) -> BatchSeen:
    return BatchSeen(
        batch_id,
        meta["session"],
        int(meta["n"]),
        int(meta["attempt"]),
        int(meta["failures"]),
        int(meta["created"]),
        int(not_before),
        meta.get("deferred") or "",
        tuple(meta.get("errors") or ()),
    )


def _block(session_key: str, raw: str) -> Block:
    batch_id, all_ms, rest_ms, reason = raw.split("|", 3)
    return Block(session_key, batch_id, int(all_ms), int(rest_ms), reason)
