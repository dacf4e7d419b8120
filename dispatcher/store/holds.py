"""Holds: what operators paused or drain. One of an agent lies beside it, one of a pattern or a pool in every slot."""

from __future__ import annotations

import json
from typing import Any

from dispatcher.core.snapshot import Hold, covers
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Argument, Call, Caller


class Holds:
    """Steps on holds. `now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, client: Any, caller: Caller, keys: Keys, limits: StoreLimits) -> None:
        self._client, self._caller, self._keys, self._limits = client, caller, keys, limits
        self.now_ms = 0

    def put(self, agent_id: str, pool: str, hold: Hold | None, by: str) -> bool:
        """Pauses or drains one agent, or resumes it (None). From the answer on nothing of it starts, or its work is due again.

        Returns whether somebody must ring it.
        """
        return self._call(agent_id, pool, _raw(hold) if hold else "", by)

    def put_wide(self, selector: str, hold: Hold | None, by: str) -> list[tuple[str, str]]:
        """The same for a pattern or a pool (`pool:research`), in every slot, for agents to come as well. (agent id, pool) to ring."""
        with unavailable(f"hold {selector}"):
            pipe = self._client.pipeline(transaction=False)
            for slot in range(self._keys.slots):
                key = self._keys.slot(slot)["wide_holds"]
                if hold:
                    pipe.hset(key, selector, _raw(hold))
                else:
                    pipe.hdel(key, selector)
            for slot in range(self._keys.slots):
                pipe.smembers(self._keys.slot(slot)["pools"])
            pools = [(slot, pool) for slot, names in enumerate(pipe.execute()[self._keys.slots :]) for pool in sorted(names)]
            for slot, pool in pools:
                pipe.zrange(self._keys.pool(slot, pool)["look"], 0, -1)
            bound = [
                (agent_id, pool)
                for (_, pool), agents in zip(pools, pipe.execute(), strict=True)
                for agent_id in agents
                if covers(selector, agent_id, pool)
            ]
        return [(agent_id, pool) for agent_id, pool in bound if self._call(agent_id, pool, "keep", by)]

    def rethink(self, pool: str, ahead_ms: int) -> list[str]:
        """Has what waits longer than `ahead_ms` from now decided afresh: the rules may be others. Agents to ring."""
        with unavailable(f"look at what waits in pool={pool}"):
            seconds, _ = self._client.time()
            pipe = self._client.pipeline(transaction=False)
            for slot in range(self._keys.slots):
                pipe.zrangebyscore(self._keys.pool(slot, pool)["due"], (self.now_ms or int(seconds) * 1000) + ahead_ms, "+inf")
            waiting = [agent_id for agents in pipe.execute() for agent_id in agents]
        return [agent_id for agent_id in waiting if self._call(agent_id, pool, "keep", "")]

    def all(self) -> list[Hold]:
        """Every hold, those of agents first."""
        pipe = self._client.pipeline(transaction=False)
        for slot in range(self._keys.slots):
            pipe.hgetall(self._keys.slot(slot)["holds"])
            pipe.hgetall(self._keys.slot(slot)["wide_holds"])
        with unavailable("list holds"):
            found = pipe.execute()
        own = [_hold(selector, raw) for held in found[::2] for selector, raw in held.items()]
        wide = {selector: _hold(selector, raw) for held in found[1::2] for selector, raw in held.items()}
        return sorted(own) + sorted(wide.values())

    def _call(self, agent_id: str, pool: str, hold: str, by: str) -> bool:
        args: dict[str, Argument] = {"now": self.now_ms, "agent": agent_id, "hold": hold, "by": by, "ledger_max": self._limits.ledger_max}
        with unavailable(f"hold agent={agent_id}"):
            reply = self._caller.call_all([Call("hold", self._keys.agent(pool, agent_id), args)])[0]
        return bool(reply.rest[0])


def _raw(hold: Hold) -> str:
    return json.dumps({"what": hold.what, "reason": hold.reason, "by": hold.by, "since": hold.since_ms, "until": hold.until_ms})


def _hold(selector: str, raw: str) -> Hold:
    said = json.loads(raw)
    return Hold(selector, said["what"], said["reason"], said["by"], said["since"], said["until"])
