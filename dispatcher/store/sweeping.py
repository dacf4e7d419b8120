"""What a sweep asks of the store: who is due, whose holder is gone. Cheap reads first; a step is called only where something is to do."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from dispatcher.store.connect import unavailable
from dispatcher.store.opened import Store
from dispatcher.store.primary import known_for_s
from dispatcher.store.scripts import FAILED, Call, Reply
from dispatcher.store.wire import packed

log = logging.getLogger(__name__)


class Absent(NamedTuple):
    """A lease whose holder shows no presence, as one look saw it."""

    slot: int
    pool: str
    agent_id: str
    token: str
    renewal: str


class Looked(NamedTuple):
    """One look at the due index: slots where something is due, and ms until the next entry (None if there is none).

    `unswept`: slots that nobody swept lately, where that was asked for.
    """

    due: list[tuple[int, str]]
    next_ms: int | None
    unswept: list[tuple[int, str]]


class Swept(NamedTuple):
    """(agent id, pool) to ring now, and ms until the next look: 0 if more is due than was asked for, None if nothing waits."""

    ring: list[tuple[str, str]]
    next_ms: int | None


class Sweeping:
    """All slots of the given pools. `now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, store: Store, pools: Sequence[str]) -> None:
        self._store = store
        self._slots = [(slot, pool) for pool in pools for slot in range(store.keys.slots)]
        self.now_ms = 0
        # Asked ten times a second by every worker, the same each time: packed once.
        keys = [store.keys.pool(slot, pool) for slot, pool in self._slots]
        self._look = [packed("TIME"), *(packed("ZRANGE", of["look"], 0, 0, "WITHSCORES") for of in keys)]
        self._swept = [packed("HGET", of["clock"], "swept") for of in keys]
        self._leases = [packed("EXISTS", of["leases"]) for of in keys]

    def _asked(self, commands: Sequence[bytes]) -> list[Any]:
        replies = self._store.caller.wire.exchange(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    @property
    def slots(self) -> list[tuple[int, str]]:
        return self._slots

    def look(self, fresh_ms: int = 0) -> Looked:
        """One pipeline of reads over every slot. Other than 0, `fresh_ms` asks as well which slots were swept by nobody for so long."""
        count = len(self._slots)
        with unavailable("look at the due index"):
            (seconds, micros), *replies = self._asked(self._look + self._swept if fresh_ms else self._look)
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        entries = [(int(first[1]) - now_ms, where) for first, where in zip(replies[:count], self._slots, strict=True) if first]
        waiting = [ms for ms, _ in entries if ms > 0]
        # Slot time may be ahead of the server's clock; then nobody can tell, and the slot counts as unswept.
        unswept = [where for at, where in zip(replies[count:], self._slots, strict=False) if not 0 <= now_ms - int(at or 0) < fresh_ms]
        return Looked([where for ms, where in entries if ms <= 0], min(waiting, default=None), unswept)

    def sweep(self, slots: Sequence[tuple[int, str]], limit: int, backlog: Container[tuple[int, str]]) -> Swept:
        """Marks what is due in these slots as rung, `limit` agents of each at most."""
        calls = self.sweeps(slots, limit, backlog)
        with unavailable(f"sweep {len(slots)} slots"):
            replies = self._store.caller.call_all(calls, apart=True) if calls else []
        return self.swept(slots, replies)

    def sweeps(self, slots: Sequence[tuple[int, str]], limit: int, backlog: Container[tuple[int, str]]) -> list[Call]:
        """The calls of `sweep`, one for each slot."""
        now_ms, ttl_ms = self.now_ms, self._store.limits.ttl_ms
        return [
            Call(
                "sweep",
                self._store.keys.pool(slot, pool),
                {"now": now_ms, "limit": limit, "ttl_ms": ttl_ms, "backlog": int((slot, pool) in backlog)},
            )
            for slot, pool in slots
        ]

    def swept(self, slots: Sequence[tuple[int, str]], replies: list[Reply]) -> Swept:
        """What their replies say."""
        replies = _sound(replies)
        ring = [(agent_id, pool) for (_, pool), reply in zip(slots, replies, strict=True) for agent_id in reply.rest[1:]]
        return Swept(ring, min((int(reply.rest[0]) for reply in replies if reply.rest and reply.rest[0] != -1), default=None))

    def backlog(self, queues: Sequence[str]) -> set[str]:
        """Which of these queues hold messages that nobody took yet."""
        pipe = self._store.client.pipeline(transaction=False)
        for queue in queues:
            pipe.llen(queue)
        with unavailable("read queue lengths"):
            return {queue for queue, length in zip(queues, pipe.execute(), strict=True) if length > 0}

    def absent(self) -> list[Absent]:
        """Leases whose holder shows no presence now. One look proves nothing yet."""
        with unavailable("watch leases"):
            held = [where for where, there in zip(self._slots, self._asked(self._leases), strict=True) if there]
            calls = [
                Call("watch", self._store.keys.pool(slot, pool), {"channel": self._store.keys.presence_channel}) for slot, pool in held
            ]
            replies = _sound(self._store.caller.call_all(calls, apart=True)) if calls else []
        found = []
        for (slot, pool), reply in zip(held, replies, strict=True):
            found += [Absent(slot, pool, *reply.rest[i : i + 3]) for i in range(0, len(reply.rest), 3)]
        return found

    def reclaim(self, absent: Absent) -> str:
        """Ends the lease if it is still the one that was watched and its holder is still gone; RECLAIMED, CHANGED, PRESENT or TOO_EARLY.

        Too early is all the time that a lease lasts after this process first heard of the present primary: its holder may still
        look for that one, or be on the old one's side of a cut, where it goes on until its lease ends.
        """
        store = self._store
        if known_for_s(store.client) * 1000 < store.limits.ttl_ms:
            return "TOO_EARLY"
        with unavailable(f"reclaim agent={absent.agent_id} token={absent.token}"):
            return store.caller.call(
                "reclaim",
                store.keys.agent(absent.pool, absent.agent_id),
                now=self.now_ms,
                agent=absent.agent_id,
                token=absent.token,
                renewal=absent.renewal,
                channel=store.keys.presence_channel,
                min_uptime_s=store.limits.min_uptime_s,
                ledger_max=store.limits.ledger_max,
            ).status

    def trim(self, safe_ms: int, now_ms: int, per_slot: int = 100) -> int:
        """Forgets final fates that are old or too many, of the agents that waited longest for it. Returns how many."""
        store, limits = self._store, self._store.limits
        pipe = store.client.pipeline(transaction=False)
        for slot, pool in self._slots:
            pipe.zrange(store.keys.pool(slot, pool)["trims"], 0, per_slot - 1)
        with unavailable("trim fates"):
            calls = [
                Call(
                    "trim",
                    store.keys.agent(pool, agent_id),
                    {
                        "agent": agent_id,
                        "safe_ms": safe_ms,
                        "older_ms": now_ms - limits.keep_fates_ms,
                        "keep": limits.keep_fates,
                        "limit": 1000,
                    },
                )
                for (_, pool), agents in zip(self._slots, pipe.execute(), strict=True)
                for agent_id in agents
            ]
            return sum(sum(reply.rest) for reply in _sound(store.caller.call_all(calls, apart=True))) if calls else 0


def _sound(replies: list[Reply]) -> list[Reply]:
    """What failed is said and stands for "nothing here": one slot with unsound data must not stop the look at the others."""
    for reply in replies:
        if reply.status == FAILED:
            log.error("%s; see `wake doctor`", reply.rest[0])
    return [Reply(FAILED, []) if reply.status == FAILED else reply for reply in replies]
