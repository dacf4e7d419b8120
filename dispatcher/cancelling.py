"""Cancelling heartbeats that run, on whatever machine: of one agent, of a pattern, of a pool."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.config import Config
from dispatcher.config.selectors import hold_selector
from dispatcher.core.errors import InvalidAddress, NotRunning
from dispatcher.core.snapshot import covers
from dispatcher.store.cancels import Running
from dispatcher.store.opened import Store


@dataclass(frozen=True, slots=True)
class Targets:
    """The heartbeats that a selector means, and whether it may mean many agents."""

    selector: str
    wide: bool
    running: tuple[Running, ...]


class Cancelling:
    """Acts on one store. Raises StoreUnavailable."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config

    def targets(self, selector: str, batch_id: str = "") -> Targets:
        """What runs now of `ops`, `lab-*` or `pool:research`; with `batch_id` only that one. Changes nothing.

        Raises InvalidAddress for an agent that nobody knows, NotRunning when nothing of it runs.
        """
        selector, wide = hold_selector(selector)
        found = [one for one in self._store.cancels.running() if covers(selector, one.agent_id, one.pool)]
        kept = tuple(one for one in found if batch_id in ("", one.batch_id))
        if not kept and not wide and not self._config.knows(selector) and self._store.ledger.home_of(selector) is None:
            raise InvalidAddress("unknown-agent", f"cancel agent={selector}: neither the configuration nor the store knows it")
        if not kept:
            others = f" ({', '.join(one.batch_id for one in found[:5])} does)" if found and batch_id else ""
            remedy = "; what waits for its next attempt is set aside with `wake drain`, `wake explain` says what waits"
            raise NotRunning(f"cancel {selector}: {f'batch {batch_id} does not run' if batch_id else 'nothing runs'} now{others}{remedy}")
        return Targets(selector, wide, kept)

    def cancel(self, targets: Targets, by: str, reason: str, *, retry: bool) -> list[tuple[Running, str]]:
        """Has exactly these heartbeats end: CANCELLING, ALREADY, or NOT_RUNNING and CHANGED for one that ended meanwhile.

        Their workers are told at once, at the latest with the next renewal of the lease. Without `retry` their completions become dead
        letters `cancelled`; with it the same batch runs again. A heartbeat that ends by itself before it is told ends as it says.
        """
        done = []
        for running in targets.running:
            self._store.acts.note("cancel", running.agent_id, by, reason, running.batch_id)
            done.append((running, self._store.cancels.cancel(running, by, reason, retry=retry).status))
        return done
