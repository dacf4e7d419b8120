"""What a live view asks of the store, every second: counters and the heads of indexes, then a page of agents. Nothing is scanned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from dispatcher.store.cancels import Running, running_from
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.ledger import AgentStatus, status_from

HEAD = 64  # agents of a slot and pool that are looked at, those due first


class Due(NamedTuple):
    """An agent with work, and when somebody looks at it next."""

    due_at_ms: int
    agent_id: str
    pool: str


class PoolSeen(NamedTuple):
    """One pool. `dead`: letters by the counters of the pool in which they died, so one that moved counts there."""

    pool: str
    working: int
    running: int
    due_at_ms: int | None
    heartbeats: int
    dead: int


class Glance(NamedTuple):
    """The store at about one moment. `heads`: agents that are due first, at most `HEAD` of each slot and pool."""

    now_ms: int
    presences: tuple[str, ...]
    inbox: int
    ownerless: int
    pools: tuple[PoolSeen, ...]
    running: tuple[Running, ...]
    heads: tuple[Due, ...]


class Detail(NamedTuple):
    """One agent of the page, and of the batch that it runs: how many wakes, and which attempt."""

    status: AgentStatus
    size: int
    attempt: int


class Glancing:
    """Costs five short commands for each slot and pool that has agents, however many agents there are, and five for each of a page."""

    def __init__(self, client: Any, keys: Keys) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._keys = client, keys

    def look(self, pool: str = "", head: int = HEAD) -> Glance:
        """All pools, or one. Two round trips."""
        channel = self._keys.presence_channel
        with unavailable("look at the store"):
            pipe = self._client.pipeline(transaction=False)
            pipe.time()
            pipe.pubsub_channels(f"{channel}*")
            pipe.xlen(self._keys.inbox["stream"])
            pipe.hlen(self._keys.inbox["dead"])
            for slot in range(self._keys.slots):
                pipe.smembers(self._keys.slot(slot)["pools"])
            (seconds, micros), presences, inbox, ownerless, *known = pipe.execute()
            places = [(slot, name) for slot, names in enumerate(known) for name in sorted(names) if pool in ("", name)]
            for slot, name in places:
                self._ask_place(pipe, slot, name, head)
            found = pipe.execute()
        by_place = [(name, found[5 * i : 5 * i + 5]) for i, (_, name) in enumerate(places)]
        running = [running_from(a, name, raw) for name, seen in by_place for a, raw in seen[2].items()]
        return Glance(
            int(seconds) * 1000 + int(micros) // 1000,
            tuple(sorted(one.removeprefix(channel) for one in presences)),
            int(inbox),
            int(ownerless),
            tuple(_pool(name, [seen for other, seen in by_place if other == name]) for name in sorted({name for name, _ in by_place})),
            tuple(one for one in running if one),
            tuple(sorted(Due(int(at), a, name) for name, seen in by_place for a, at in seen[1])),
        )

    def _ask_place(self, pipe: Any, slot: int, pool: str, head: int) -> None:
        keys = self._keys.pool(slot, pool)
        pipe.zcard(keys["due"])
        pipe.zrange(keys["due"], 0, head - 1, withscores=True)
        pipe.hgetall(keys["leases"])
        pipe.hgetall(keys["counters"])
        pipe.zrange(keys["due"], 0, 0, withscores=True)

    def details(self, page: Sequence[Due]) -> list[Detail]:
        """Of these agents, in order. Two round trips, the second for those that run."""
        pipe = self._client.pipeline(transaction=False)
        for due in page:
            keys = self._keys.agent(due.pool, due.agent_id)
            pipe.hget(keys["leases"], due.agent_id)
            pipe.zcard(keys["mailbox"])
            pipe.zrange(keys["parked"], 0, -1)
            pipe.hgetall(keys["state"])
        with unavailable(f"look at {len(page)} agents"):
            found = pipe.execute()
            read = [status_from(due.agent_id, due.pool, due.due_at_ms, *found[4 * i : 4 * i + 4]) for i, due in enumerate(page)]
            for one in read:
                pipe.hget(self._keys.agent(one.pool, one.agent_id)["batches"], one.running or "")
            batches = [json.loads(raw) if raw else {} for raw in pipe.execute()]
        return [Detail(one, int(meta.get("n", 0)), int(meta.get("attempt", 0))) for one, meta in zip(read, batches, strict=True)]


def _pool(name: str, places: Sequence[Sequence[Any]]) -> PoolSeen:
    counters: dict[str, int] = {}
    for _, _, _, counted, _ in places:
        for word, count in counted.items():
            kind = word.partition(":")[0]
            counters[kind] = counters.get(kind, 0) + int(count)
    held = [raw for _, _, leases, _, _ in places for raw in leases.values()]
    firsts = [int(first[0][1]) for *_, first in places if first]
    dead = counters.get("dead", 0) - counters.get("revived", 0) - counters.get("dropped", 0)
    running = sum(not raw.endswith("|") for raw in held)
    working = sum(int(place[0]) for place in places)
    return PoolSeen(name, working, running, min(firsts, default=None), counters.get("heartbeats", 0), max(0, dead))
