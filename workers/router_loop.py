"""The router's own timer: looks at the inbox whatever messages say, forgets what may be forgotten, and warns of many dead letters."""

from __future__ import annotations

import logging
import time
from collections import deque

from dispatcher.config import Config
from dispatcher.dead_letters import expire
from dispatcher.routing import Router
from dispatcher.store.opened import Store
from dispatcher.store.sweeping import Sweeping
from workers.loop import Loop

log = logging.getLogger(__name__)
TRIM_S = 20.0
EXPIRE_LIMIT = 1_000  # dropped in one round


class RouterLoop(Loop):
    """The timer of one router process."""

    def __init__(self, store: Store, config: Config, router: Router) -> None:
        super().__init__("router-loop")
        self.use(store, config, router)
        self._oldest: deque[tuple[float, int]] = deque(maxlen=64)
        self._trim_at = time.monotonic() + TRIM_S

    def use(self, store: Store, config: Config, router: Router) -> None:
        """This configuration from the next round on."""
        self._store, self._router = store, router
        self._interval_s = config.routing.interval_ms / 1000
        self._bounds = config.bounds
        self._hold_s = store.limits.max_hold_ms / 1000

    def run_once(self) -> float:
        """One look at the inbox; now and then one trim."""
        self._router.drain_inbox()
        if time.monotonic() >= self._trim_at:
            self._trim_at = time.monotonic() + TRIM_S
            self.trim_once()
            self.keep_letters()
        return self._interval_s

    def trim_once(self) -> int:
        """Forgets what may be forgotten. An entry that left the inbox less than a hold time ago may still be in another router's hands."""
        now = time.monotonic()
        self._oldest.append((now, self._router.oldest_entry_ms()))
        safe = [oldest for seen_at, oldest in self._oldest if now - seen_at > self._hold_s]
        if not safe:
            return 0
        # Pools appear while we run, so they are read each time.
        pools = sorted({pool for _, pool in self._store.ledger.pools()})
        return Sweeping(self._store, pools).trim(safe[-1], self._store.ledger.now_ms())

    def keep_letters(self) -> int:
        """Drops dead letters whose retention is over, and warns when many are left. How many were dropped."""
        dropped, bounds, ledger = 0, self._bounds, self._store.ledger
        if bounds.dead_ms > 0:
            dropped = expire(self._store, ledger.now_ms() - bounds.dead_ms, EXPIRE_LIMIT)
            if dropped:
                log.warning("%d dead letters were dropped: older than [bounds] dead_ms = %d", dropped, bounds.dead_ms)
        if bounds.alert_dead and (left := ledger.letters.count()) >= bounds.alert_dead:
            log.warning("%d dead letters ([bounds] alert_dead = %d); see `wake dead list`", left, bounds.alert_dead)
        return dropped
