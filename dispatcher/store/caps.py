"""Caps on running heartbeats, of a store and of a pool, and the bounded release of what is overdue: who has a place, who waits for one."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.core.policy import Admission
from dispatcher.core.rules import Rules
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Call, Caller

RANK_STEP = 10**14  # more than any time in ms: urgency goes before age


@dataclass(frozen=True, slots=True)
class NoPlace:
    """Ask again after `wait_ms`; `ahead` others are more urgent or older."""

    wait_ms: int
    ahead: int


class Caps:
    """Steps on places. They lie apart from the slots; a cap is a bound, not a promise: no lease depends on it.

    `now_ms` other than 0 stands in for the server clock, for simulation and tests only.
    """

    def __init__(self, caller: Caller, keys: Keys, limits: StoreLimits) -> None:
        self._caller, self._keys, self._limits = caller, keys, limits
        self.now_ms = 0

    def admit(self, agent_id: str, pool: str, wanted: Admission, rules: Rules) -> NoPlace | None:
        """Takes a place, or one in the line of those that wait: most urgent first, then oldest."""
        with unavailable(f"admit agent={agent_id}"):
            reply = self._caller.call(
                "admit",
                self._keys.caps(pool),
                now=self.now_ms,
                agent=agent_id,
                ttl_ms=self._limits.ttl_ms,
                all_cap=max(0, rules.all_cap),
                pool_cap=max(0, rules.pool_cap),
                rank=wanted.urgency * RANK_STEP + wanted.since_ms,
                late=int(wanted.late),
                rate=max(0.0, rules.release_per_s),
            )
        return NoPlace(*reply.rest) if reply.status == "WAIT" else None

    def keep_all(self, held: list[tuple[str, str]]) -> None:
        """(agent id, pool) that still run, in one round trip."""
        self._place(held, self._limits.ttl_ms)

    def leave(self, agent_id: str, pool: str) -> None:
        """Gives a place back. One that nobody gives back ends after a ttl."""
        self._place([(agent_id, pool)], 0)

    def _place(self, held: list[tuple[str, str]], ttl_ms: int) -> None:
        calls = [Call("place", self._keys.caps(pool), {"now": self.now_ms, "agent": agent_id, "ttl_ms": ttl_ms}) for agent_id, pool in held]
        with unavailable(f"keep {len(held)} places"):
            self._caller.call_all(calls)
