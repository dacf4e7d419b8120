"""The sweeper: every worker looks at what is due in its pools and rings it. No leader, no beat; twice does no harm.

It also notices holders that are gone: two looks without presence and without renewal between them, then the lease is reclaimed.
"""

from __future__ import annotations

import logging
import time

from dispatcher.config import Config
from dispatcher.names import agent_queue, pool_queues
from dispatcher.routing import Ringer
from dispatcher.store.opened import Store
from dispatcher.store.sweeping import Absent, Sweeping
from workers.loop import Loop

log = logging.getLogger(__name__)
# Every slot is swept, due or not, well within the second after which it counts as unswept; by one worker, however many there are.
FULL_SWEEP_S, FRESH_MS = 0.4, 200
WATCH_S = 0.25
# A look costs milliseconds, whatever it finds: where much comes due one upon the other, one look rings some of it at once.
SHORTEST_WAIT_S, WAIT_AFTER_RINGING_S = 0.005, 0.02


class Sweeper(Loop):
    """The sweep of one worker process over its pools."""

    def __init__(self, store: Store, config: Config, pools: tuple[str, ...], ringer: Ringer) -> None:
        super().__init__("sweeper")
        self._config, self._pools, self._ringer = config, pools, ringer
        self._slots = store.keys.slots
        self._sweeping = Sweeping(store, pools)
        self._interval_s = config.sweep.interval_ms / 1000
        self._reclaim_after_s = config.lease.early_reclaim_ms / 1000
        self._full_at = 0.0
        self._watch_at = 0.0
        self._absent: dict[Absent, float] = {}

    def run_once(self) -> float:
        """One look. Returns the seconds until the next: the interval, or less when an entry is due before."""
        now = time.monotonic()
        full = now >= self._full_at
        looked = self._sweeping.look(FRESH_MS if full else 0)
        slots = [*looked.due, *(slot for slot in looked.unswept if slot not in looked.due)]
        if full:
            self._full_at = now + FULL_SWEEP_S
        if slots:
            swept = self._sweeping.sweep(slots, self._config.sweep.batch, self._backlog() if looked.due else set())
            self._ringer.ring_all(swept.ring)
        if now >= self._watch_at:
            self._watch_at = now + WATCH_S
            self._watch(now)
        soon = self._interval_s if looked.next_ms is None else min(self._interval_s, looked.next_ms / 1000)
        return max(soon, WAIT_AFTER_RINGING_S if looked.due else SHORTEST_WAIT_S)

    def _backlog(self) -> set[tuple[int, str]]:
        """(slot, pool) whose queue still holds messages: to ring again there would only make it longer."""
        prefix = self._config.redis.prefix
        partitions = {pool: self._config.pool(pool).partitions for pool in self._pools}
        full = self._sweeping.backlog([queue for pool in self._pools for queue in pool_queues(prefix, pool, partitions[pool])])
        return {
            (slot, pool) for pool in self._pools for slot in range(self._slots) if agent_queue(prefix, pool, slot, partitions[pool]) in full
        }

    def _watch(self, now: float) -> None:
        absent = self._sweeping.absent()
        first_seen = {one: self._absent.get(one, now) for one in absent}
        self._absent = first_seen
        for one, since in first_seen.items():
            if now - since >= self._reclaim_after_s:
                status = self._sweeping.reclaim(one)
                if status == "RECLAIMED":
                    log.warning("reclaimed agent=%s token=%s: its holder is gone", one.agent_id, one.token)
                    self._ringer.ring_all([(one.agent_id, one.pool)])
