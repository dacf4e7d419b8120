"""The way of arrivals into the mailboxes: submit, claim, route and deposit as in production, in pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dispatcher.config import Config
from dispatcher.routing import Ringer, Routed, Router
from dispatcher.simulate.arrivals import Arrival
from dispatcher.store.opened import Store

PAGE = 500
NEVER_IDLE_MS = 10**10


class Mail:
    """Arrivals on their way: accepted and given an owner a page ahead of time, delivered at their own."""

    def __init__(self, store: Store, config: Config, ringer: Ringer, arrivals: Sequence[Arrival]) -> None:
        self._store, self._arrivals = store, arrivals
        self._router = Router(store, config, ringer)
        self._deposited: list[Routed] = []

    def batches(self) -> Iterator[tuple[int, list[Routed]]]:
        """What arrives at one instant, in time order."""
        for start in range(0, len(self._arrivals), PAGE):
            page = self._arrivals[start : start + PAGE]
            self.close()
            self._store.inbox.submit_all([arrival.submission(f"c{start + place}") for place, arrival in enumerate(page)])
            claimed = replace(self._store.inbox.claim(self._router.consumer, PAGE, NEVER_IDLE_MS), read_at_ms=0)
            at_ms: int | None = None
            batch: list[Routed] = []
            for item in self._router.own_all(claimed):
                if batch and item.entry.accepted_at_ms != at_ms:
                    yield at_ms or 0, batch
                    batch = []
                at_ms = item.entry.accepted_at_ms
                batch.append(item)
            if batch:
                yield at_ms or 0, batch

    def deliver(self, routed: list[Routed]) -> None:
        """Each into its mailbox. It leaves the inbox with the next page: nobody is there to take it over."""
        self._deposited += self._router.deposit(routed)

    def close(self) -> None:
        """What is deposited leaves the inbox."""
        self._router.acknowledge(self._deposited)
        self._deposited = []
