"""The router's own timer: looks at the inbox whatever messages say, and forgets fates whose time is over."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from dispatcher.config import Config
from dispatcher.core.errors import WakeError
from dispatcher.routing import Router
from dispatcher.store.opened import Store
from dispatcher.store.sweeping import Sweeping

log = logging.getLogger(__name__)
TRIM_S = 20.0


class RouterLoop:
    """`start`/`stop` tolerate twice and never started; tests call `run_once`."""

    def __init__(self, store: Store, config: Config, router: Router) -> None:
        self._store, self._router = store, router
        self._interval_s = config.routing.interval_ms / 1000
        self._hold_s = store.limits.max_hold_ms / 1000
        self._oldest: deque[tuple[float, int]] = deque(maxlen=64)
        self._trim_at = time.monotonic() + TRIM_S
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="router-loop", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(5)

    def run_once(self) -> None:
        """One look at the inbox; now and then one trim."""
        self._router.drain_inbox()
        if time.monotonic() >= self._trim_at:
            self._trim_at = time.monotonic() + TRIM_S
            self.trim_once()

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

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.run_once()
            except WakeError as error:
                log.warning("route: %s", error)
            except Exception:  # the loop that serves everybody goes on; the entries come back
                log.exception("route failed; the next look follows")
            self._stop.wait(self._interval_s)
