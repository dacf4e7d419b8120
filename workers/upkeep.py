"""What a configuration asks of agents that nobody looks at: the ticks of their cadence, and another decision on what waits long."""

from __future__ import annotations

import logging
import time
from collections import defaultdict

from dispatcher.app import current_config
from dispatcher.config import Config, rules_of
from dispatcher.core.policy import next_tick
from dispatcher.core.snapshot import Tick
from dispatcher.homes import Homes
from dispatcher.routing import Ringer
from dispatcher.store.cadences import changes_to
from dispatcher.store.opened import Store
from workers.loop import Loop

log = logging.getLogger(__name__)
EVERY_S = 300.0
SHARE = 0.01  # of a worker's time: a hundred thousand agents take seconds
SOON_S = 5.0
LONG_MS = 60_000


class Upkeep(Loop):
    """The agents of one pool: at the start, after a reload, and the ticks every five minutes."""

    def __init__(self, store: Store, pool: str, ringer: Ringer) -> None:
        super().__init__("upkeep")
        self._store, self._pool, self._ringer = store, pool, ringer
        self._changed = True  # for all that this process knows, the configuration is another one than before its start

    def configuration_changed(self) -> None:
        """Everything is looked at again now."""
        self._changed = True
        self.run_soon()

    def run_once(self) -> float:
        """Sooner again when something changed meanwhile, or an agent is still on its way to this pool; later where a round takes long."""
        began_at = time.monotonic()
        if self._changed:
            self._changed = False
            self._ringer.ring_all((agent_id, self._pool) for agent_id in self._store.holds.rethink(self._pool, LONG_MS))
        config, keys, now_ms = current_config(), self._store.keys, self._store.ledger.now_ms()
        named: dict[int, set[str]] = defaultdict(set)
        for agent_id in config.known_ids():
            if rules_of(config, agent_id).interval_ms > 0:
                named[keys.slot_of(agent_id)].add(agent_id)
        ticking = asked = done = 0
        # One slot after the other: what a process once held for all agents together, its memory would be as large as for good.
        for slot in range(keys.slots):
            pending = dict(self._store.cadences.pending(self._pool, slot))
            wanted = self._wanted(config, pending, named[slot], now_ms)
            changes = changes_to(wanted, pending)
            replies = self._store.cadences.change_all(self._pool, changes)
            ticking += sum(tick is not None for tick in wanted.values())
            asked, done = asked + len(changes), done + sum(reply.status == "SET" for reply in replies)
        if done:
            log.info("cadence: %d ticks of pool %s set, %d agents have one", done, self._pool, ticking)
        if done < asked:
            return SOON_S
        return max(EVERY_S, (time.monotonic() - began_at) / SHARE)

    def _wanted(self, config: Config, pending: dict[str, Tick], named: set[str], now_ms: int) -> dict[str, Tick | None]:
        homes = Homes(self._store, config)
        homes.read_all(named | set(pending))
        wanted: dict[str, Tick | None] = {}
        for agent_id in named | set(pending):
            rules, tick = rules_of(config, agent_id), pending.get(agent_id)
            if not rules.enabled or homes.settled_home(agent_id)[0] != self._pool:
                if tick:
                    wanted[agent_id] = None
            elif tick and tick.cadence == rules.cadence:
                wanted[agent_id] = tick  # one that is overdue as well: it is due, not missed
            else:
                wanted[agent_id] = next_tick(rules, now_ms, tick)
        return wanted
