"""Cancelling: a mark on a running batch, which its holder sees at its next renewal, and a nudge that makes this at once."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import redis

from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Caller, Reply


class Running(NamedTuple):
    """A heartbeat that somebody saw running: what the mark is fenced with. `holder`: the process that runs it."""

    agent_id: str
    pool: str
    batch_id: str
    token: int
    holder: str


class Cancels:
    """`now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, client: Any, caller: Caller, keys: Keys, limits: StoreLimits) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._caller, self._keys, self._limits = client, caller, keys, limits
        self.now_ms = 0

    def running(self) -> list[Running]:
        """Every heartbeat that runs now, by pool and agent: two round trips, and no look at any agent."""
        slots = range(self._keys.slots)
        pipe = self._client.pipeline(transaction=False)
        for slot in slots:
            pipe.smembers(self._keys.slot(slot)["pools"])
        with unavailable("list running heartbeats"):
            places = [(slot, pool) for slot, names in zip(slots, pipe.execute(), strict=True) for pool in sorted(names)]
            for slot, pool in places:
                pipe.hgetall(self._keys.pool(slot, pool)["leases"])
            held = [(pool, leases) for (_, pool), leases in zip(places, pipe.execute(), strict=True)]
        found = [running_from(agent_id, pool, raw) for pool, leases in held for agent_id, raw in leases.items()]
        return sorted((one for one in found if one), key=lambda one: (one.pool, one.agent_id))

    def cancel(self, running: Running, by: str, reason: str, *, retry: bool) -> Reply:
        """Marks this heartbeat; the reply is that of cancel.lua. The same again is ALREADY."""
        with unavailable(f"cancel agent={running.agent_id} token={running.token}"):
            reply = self._caller.call(
                "cancel",
                self._keys.agent(running.pool, running.agent_id),
                now=self.now_ms,
                agent=running.agent_id,
                token=running.token,
                batch=running.batch_id,
                by=by,
                reason=reason,
                retry=int(retry),
                ledger_max=self._limits.ledger_max,
            )
        if reply.status in ("CANCELLING", "ALREADY"):
            # A nudge that is lost, or forbidden to this user, costs a few seconds: the next renewal tells as well.
            with contextlib.suppress(redis.RedisError):
                self._client.publish(self._keys.presence_channel + running.holder, "renew")
        return reply


def running_from(agent_id: str, pool: str, raw: str) -> Running | None:
    """From the pool's view of a held lease; None while its holder has not begun a batch."""
    token, _, _, holder, batch_id = raw.split("|", 4)
    return Running(agent_id, pool, batch_id, int(token), holder) if batch_id else None
