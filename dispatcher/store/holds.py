"""Holds: what operators paused or drain. One of an agent lies beside it, one of a pattern or a pool in every slot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dispatcher.core.rules import DRAINING
from dispatcher.core.snapshot import Hold, covers, hold_from, holds_from
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Argument, Call, Caller

PAGE = 500


class Holds:
    """Steps on holds. `now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, client: Any, caller: Caller, keys: Keys, limits: StoreLimits) -> None:
        self._client, self._caller, self._keys, self._limits = client, caller, keys, limits
        self.now_ms = 0

    def put(self, agent_id: str, pool: str, hold: Hold | None, by: str) -> bool:
        """Pauses or drains one agent, or resumes it (None). From the answer on nothing of it starts, or its work is due again.

        Returns whether somebody must ring it.
        """
        return bool(self._rethink([(agent_id, pool)], hold, by, ""))

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
            known = pipe.execute()[self._keys.slots :]
            places = [(slot, pool) for slot, names in enumerate(known) for pool in sorted(names)]
            for slot, pool in places:
                pipe.zrange(self._keys.pool(slot, pool)["look"], 0, -1)
            bound = [
                (agent_id, pool)
                for (_, pool), agents in zip(places, pipe.execute(), strict=True)
                for agent_id in agents
                if covers(selector, agent_id, pool)
            ]
        return self._rethink(bound, hold, by, selector)

    def rethink(self, pool: str, ahead_ms: int) -> list[str]:
        """Has what waits longer than `ahead_ms` from now decided afresh: the rules may be others. Agents to ring."""
        doing = f"decide afresh what waits in pool={pool}"
        with unavailable(doing):
            seconds, _ = self._client.time()
            pipe = self._client.pipeline(transaction=False)
            for slot in range(self._keys.slots):
                pipe.zrangebyscore(self._keys.pool(slot, pool)["due"], (self.now_ms or int(seconds) * 1000) + ahead_ms, "+inf")
            waiting = [(agent_id, pool) for agents in pipe.execute() for agent_id in agents]
        return [agent_id for agent_id, _ in self._rethink(waiting, None, "", "configuration", doing)]

    def forget_lapsed(self) -> int:
        """Takes the holds away whose time is over, everywhere; how many they were. A hold that was renewed meanwhile stays."""
        with unavailable("forget holds whose time is over"):
            calls = [Call("lapse", self._keys.slot(slot), {"now": self.now_ms}) for slot in range(self._keys.slots)]
            replies = self._caller.call_all(calls, apart=True)  # what cannot be read in one slot keeps nobody from pausing
            return sum(int(reply.rest[0]) for reply in replies if reply.status == "LAPSED")

    def all(self) -> list[Hold]:
        """Every hold, those of agents first, also those whose time is over and that nobody has forgotten yet."""
        pipe = self._client.pipeline(transaction=False)
        for slot in range(self._keys.slots):
            pipe.hgetall(self._keys.slot(slot)["holds"])
            pipe.hgetall(self._keys.slot(slot)["wide_holds"])
        with unavailable("list holds"):
            found = pipe.execute()
        own = [hold_from(selector, raw) for held in found[::2] for selector, raw in held.items()]
        wide = {selector: hold_from(selector, raw) for held in found[1::2] for selector, raw in held.items()}
        return sorted(own) + sorted(wide.values())

    def of(self, agent_id: str, pool: str) -> tuple[Hold, ...]:
        """The holds that mean this agent, its own first, also those whose time is over."""
        keys = self._keys.slot(self._keys.slot_of(agent_id))
        with unavailable(f"read holds of agent={agent_id}"):
            own, wide = self._client.hget(keys["holds"], agent_id), self._client.hgetall(keys["wide_holds"])
        return holds_from(agent_id, pool, own or "", [word for pair in wide.items() for word in pair])

    def _rethink(
        self, agents: Sequence[tuple[str, str]], hold: Hold | None, by: str, selector: str, doing: str = ""
    ) -> list[tuple[str, str]]:
        """Tells these agents, each in a step of its own, that a hold changed; those to ring. `doing`: for errors, if it is not to hold."""
        drains = bool(hold and hold.what == DRAINING)
        words: dict[str, Argument] = {"hold": _raw(hold) if hold else "", "by": by, "selector": selector, "drain": int(drains)}
        words |= {"now": self.now_ms, "ledger_max": self._limits.ledger_max}
        ring: list[tuple[str, str]] = []
        for start in range(0, len(agents), PAGE):
            page = agents[start : start + PAGE]
            with unavailable(doing or f"hold {selector or f'agent={page[0][0]}'}"):
                calls = [Call("hold", self._keys.agent(pool, agent_id), words | {"agent": agent_id}) for agent_id, pool in page]
                replies = self._caller.call_all(calls)
            ring += [agent for agent, reply in zip(page, replies, strict=True) if reply.rest[0]]
        return ring


def _raw(hold: Hold) -> str:
    return json.dumps({"what": hold.what, "reason": hold.reason, "by": hold.by, "since": hold.since_ms, "until": hold.until_ms})
