"""The cadence of agents in the store: one pending tick each, which the due index looks at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dispatcher.core.models import Lease, Wake
from dispatcher.core.snapshot import Snapshot, Tick, snapshot_from, tick_from
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Call, Caller, Reply

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class TickChange:
    """The pending tick of one agent is to become another one; None is no tick. Nothing happens if it is not `was` any more."""

    agent_id: str
    was: Tick | None
    next: Tick | None


@dataclass(frozen=True, slots=True)
class Ticked:
    """The cadence moved on. `deposited`: the tick waits as a wake of its own; `snapshot` is what the policy decides on next."""

    deposited: bool
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class NotTicked:
    """Nothing was written: `current` is the tick that is pending, or the token that is."""

    status: Literal["CHANGED", "STALE_TOKEN"]
    current: str


class Cadences:
    """Steps on pending ticks. `now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, client: Any, caller: Caller, keys: Keys, limits: StoreLimits) -> None:
        self._client, self._caller, self._keys, self._limits = client, caller, keys, limits
        self.now_ms = 0

    def pending(self, pool: str, slot: int | None = None) -> Iterator[tuple[str, Tick]]:
        """Every agent of a pool, or of one slot of it, that has a tick."""
        for one in range(self._keys.slots) if slot is None else (slot,):
            with unavailable(f"read ticks of pool={pool}"):
                found = self._client.hgetall(self._keys.pool(one, pool)["ticks"])
            for agent_id, raw in found.items():
                tick = tick_from(raw)
                if tick is not None:
                    yield agent_id, tick

    def change_all(self, pool: str, changes: Sequence[TickChange]) -> list[Reply]:
        """Sets ticks where nobody holds the agent. The replies in order, as cadence.lua declares them."""
        replies: list[Reply] = []
        for start in range(0, len(changes), PAGE):
            page = changes[start : start + PAGE]
            calls = [
                Call(
                    "cadence",
                    self._keys.agent(pool, change.agent_id),
                    {"now": self.now_ms, "agent": change.agent_id, "pool": pool, "was": _raw(change.was), "next": _raw(change.next)},
                )
                for change in page
            ]
            with unavailable(f"set {len(calls)} ticks of pool={pool}"):
                replies += self._caller.call_all(calls)
        return replies

    def move_on(
        self, lease: Lease, change: TickChange, wake: Wake | None, session_key: str, configured: str, why: str
    ) -> Ticked | NotTicked:
        """Under the lease: the tick becomes `change.next`; with `wake`, the one that was due waits now. Repeating it answers CHANGED."""
        with unavailable(f"tick agent={lease.agent_id} token={lease.token}"):
            reply = self._caller.call(
                "tick",
                self._keys.agent(lease.pool, lease.agent_id),
                now=self.now_ms,
                agent=lease.agent_id,
                pool=lease.pool,
                configured=configured,
                token=lease.token,
                holder=lease.holder,
                was=_raw(change.was),
                next=_raw(change.next),
                deposit=int(wake is not None),
                why=why,
                session=session_key,
                wake=wake.model_dump_json(exclude_defaults=True) if wake else "",
                id=wake.wake_id if wake else "",
                accepted_at=wake.accepted_at_ms if wake else 0,
                max_mailbox=self._limits.max_mailbox,
                ledger_max=self._limits.ledger_max,
            )
        if reply.status != "TICKED":
            return NotTicked(reply.status, reply.rest[0])  # type: ignore[arg-type]  # words of tick.lua's header
        return Ticked(reply.rest[0] == 1, snapshot_from(json.loads(reply.rest[1]), lease.agent_id, lease.pool))


def changes_to(wanted: Mapping[str, Tick | None], pending: Mapping[str, Tick]) -> list[TickChange]:
    """What makes the pending ticks the wanted ones."""
    return [TickChange(agent_id, pending.get(agent_id), tick) for agent_id, tick in sorted(wanted.items()) if pending.get(agent_id) != tick]


def _raw(tick: Tick | None) -> str:
    return f"{tick.next_ms}|{tick.cadence}" if tick else ""
