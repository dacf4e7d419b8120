"""What this process observes for operators, counted here and added to the store once a second. Never in the way of a heartbeat."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.observation import field_of
from dispatcher.store.observed import Observed
from workers.loop import Loop

log = logging.getLogger(__name__)
FLUSH_S = 1.0


class Tally(Loop):
    """The counts of one process for one pool. A process that is killed takes those of its last second along."""

    def __init__(self, observed: Observed, pool: str) -> None:
        super().__init__("tally")
        self._observed, self._pool = observed, pool
        self._counts: Counter[str] = Counter()
        self._mutex = threading.Lock()

    def count(self, name: str, *labels: str) -> None:
        """One more of a counter."""
        self.add(Counter({field_of(name, *labels): 1}))

    def add(self, counts: Counter[str]) -> None:
        with self._mutex:
            self._counts.update(counts)

    def run_once(self) -> float:
        """Adds what came since the last time; nothing, when nothing came. After an error the same again: a lost answer counts twice."""
        with self._mutex:
            taken, self._counts = self._counts, Counter()
        if taken:
            try:
                self._observed.add(self._pool, taken)
            except StoreUnavailable:
                self.add(taken)
                raise
        return FLUSH_S

    def stop(self) -> None:
        super().stop()
        try:
            self.run_once()
        except StoreUnavailable as error:
            log.warning("the last counts are lost: %s", error)
