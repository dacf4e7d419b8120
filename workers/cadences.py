"""Gives every agent of a pool the pending tick that its configuration wants: at the start, after a reload, and now and then."""

from __future__ import annotations

import logging

from dispatcher.app import current_config
from dispatcher.config import Config, rules_of
from dispatcher.core.policy import next_tick
from dispatcher.core.snapshot import Tick
from dispatcher.homes import Homes
from dispatcher.store.cadences import changes_to
from dispatcher.store.opened import Store
from workers.loop import Loop

log = logging.getLogger(__name__)
EVERY_S = 300.0
SOON_S = 5.0


class Cadences(Loop):
    """The cadence of the agents of one pool. It only sets ticks; the due index brings them up, whoever lives then."""

    def __init__(self, store: Store, pool: str) -> None:
        super().__init__("cadences")
        self._store, self._pool = store, pool

    def run_once(self) -> float:
        """Compares and sets. Sooner again when something changed meanwhile, or an agent is still on its way to this pool."""
        config = current_config()
        pending = dict(self._store.cadences.pending(self._pool))
        wanted = self._wanted(config, pending)
        changes = changes_to(wanted, pending)
        replies = self._store.cadences.change_all(self._pool, changes)
        done = sum(reply.status == "SET" for reply in replies)
        if done:
            log.info(
                "cadence: %d ticks of pool %s set, %d agents have one", done, self._pool, sum(tick is not None for tick in wanted.values())
            )
        return EVERY_S if done == len(changes) else SOON_S

    def _wanted(self, config: Config, pending: dict[str, Tick]) -> dict[str, Tick | None]:
        now_ms = self._store.ledger.now_ms()
        homes = Homes(self._store, config)
        named = {agent_id for agent_id in config.known_ids() if rules_of(config, agent_id).interval_ms > 0}
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
