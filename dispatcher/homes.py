"""Where an agent lies: its pool as the store recorded it, and as the configuration wants it. Follows moves, makes those due."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache, partial

from dispatcher.config import Config
from dispatcher.names import agent_queue, slot_of
from dispatcher.store.opened import Store

REMEMBERED = 8_192


def queue_of(config: Config, agent_id: str, pool: str) -> str:
    """The queue on which an agent of this pool is rung, as of this configuration."""
    return agent_queue(config.redis.prefix, pool, slot_of(agent_id, config.redis.slots), config.pool(pool).partitions)


class Homes:
    """(pool, configured pool) by agent. What is remembered may be old: the steps compare, and answer MOVED."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config
        self._known: dict[str, tuple[str, str]] = {}
        self._queue = lru_cache(maxsize=REMEMBERED)(partial(queue_of, config))

    def queue_in(self, agent_id: str, pool: str) -> str:
        """The queue on which an agent of this pool is rung."""
        return self._queue(agent_id, pool)

    def expected(self, agent_id: str) -> tuple[str, str]:
        """As remembered, else as the configuration wants it, without asking: a deposit that finds it elsewhere answers MOVED."""
        known = self._known.get(agent_id)
        if known is None:
            wanted = self._config.pool_of(agent_id)
            known = wanted, wanted
        return known

    def home(self, agent_id: str) -> tuple[str, str]:
        """As recorded, else as the configuration wants it. Changes nothing."""
        known = self._known.get(agent_id)
        if known is not None:  # remembered only where it is as the configuration wants it, which stands as long as we do
            return known
        found = self._store.ledger.home_of(agent_id)
        wanted = self._config.pool_of(agent_id)
        if found is None or found[1] == wanted:
            found = self._known[agent_id] = found or (wanted, wanted)
        return found

    def read_all(self, agents: Collection[str]) -> None:
        """Reads what is not remembered yet in one round trip."""
        unknown = [agent_id for agent_id in agents if agent_id not in self._known]
        for agent_id, found in zip(unknown, self._store.ledger.homes_of(unknown), strict=True):
            wanted = self._config.pool_of(agent_id)
            if found is None or found[1] == wanted:
                self._known[agent_id] = found or (wanted, wanted)

    def settled_home(self, agent_id: str) -> tuple[str, str]:
        """As `home`, after moving the agent if the configuration changed since it was recorded."""
        pool, configured = known = self.home(agent_id)
        if agent_id in self._known:
            return known
        return known if configured == self._config.pool_of(agent_id) else self.moved(agent_id, pool, configured)

    def moved(self, agent_id: str, pool: str, configured: str) -> tuple[str, str]:
        """The agent was found in `pool`. An operator's move holds; a configuration that changed since moves it now, unless it runs."""
        wanted = self._config.pool_of(agent_id)
        if configured != wanted and self._store.mailbox.move(agent_id, pool, wanted, wanted) in ("MOVED", "ALREADY"):
            pool, configured = wanted, wanted
        if configured == wanted:
            self._known[agent_id] = (pool, configured)
        else:
            self._known.pop(agent_id, None)
        return pool, configured
