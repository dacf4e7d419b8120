"""What `wake explain` asks of the store. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from dispatcher.core.inspected import Inspected, inspected_from
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.scripts import Caller

OUTCOMES = ("ran", "skipped", "failed")


class Inspection:
    """Reads of one agent, and figures over all slots. `now_ms` other than 0 stands in for the server clock, for simulation and tests."""

    def __init__(self, client: Any, caller: Caller, keys: Keys, pools: Callable[[], list[tuple[int, str]]]) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._caller, self._keys, self._pools = client, caller, keys, pools
        self.now_ms = 0

    def inspect(self, agent_id: str, pool: str) -> Inspected | None:
        """One agent as of one moment, wherever it lives; `pool` is where to look first. None: it never had a wake or a tick."""
        found = self._inspect(agent_id, pool)
        if found and found[0] != pool:  # it lives elsewhere
            found = self._inspect(agent_id, found[0])
        return inspected_from(agent_id, found[0], *map(json.loads, found[1:])) if found else None

    def _inspect(self, agent_id: str, pool: str) -> tuple[str, str, str, str] | None:
        """Where it lives, and the JSON texts of its lease, its snapshot and the rest as they lie in `pool`."""
        with unavailable(f"inspect agent={agent_id}"):
            reply = self._caller.call("inspect", self._keys.agent(pool, agent_id), now=self.now_ms, agent=agent_id)
        if reply.status == "UNKNOWN":
            return None
        home, lease, shown, rest = reply.rest
        return str(home).partition(" ")[0] or pool, lease, shown, rest

    def caused_by(self, agents: Sequence[str]) -> list[int]:
        """How many completions the heartbeats of each of these agents caused, in order."""
        with unavailable("read what heartbeats caused"):
            found = self._client.hmget(self._keys.inbox["caused"], agents) if agents else []
        return [int(count or 0) for count in found]

    def turns(self) -> dict[str, dict[str, int]]:
        """Per pool: heartbeats that were settled or failed (`heartbeats`), and of them avoidable ones by word (`avoidable:<word>`)."""
        places = self._pools()
        pipe = self._client.pipeline(transaction=False)
        for slot, pool in places:
            pipe.hgetall(self._keys.pool(slot, pool)["counters"])
        with unavailable("read counters"):
            found = pipe.execute()
        pools: dict[str, dict[str, int]] = {}
        for (_, pool), counters in zip(places, found, strict=True):
            sums = pools.setdefault(pool, {"heartbeats": 0})
            sums["heartbeats"] += sum(int(counters.get(f"heartbeats:{outcome}", 0)) for outcome in OUTCOMES)
            for name, count in counters.items():
                if name.startswith("avoidable:"):
                    sums[name] = sums.get(name, 0) + int(count)
        return pools
