"""What a scrape asks of the store. A few round trips, each bounded: however many agents have work, only so many are looked at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from dispatcher.core.inspected import Inspected, inspected_from
from dispatcher.store.books import Balance
from dispatcher.store.connect import cannot_serve, unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.scripts import FAILED, Call, Caller

PAGE = 200  # one page of agents is one round trip: the server serves others in between
DEPTHS_PER_AGENT = 10  # counting the wakes of an agent is that much cheaper than explaining it
Place = tuple[str, str]  # pool, agent id


@dataclass(slots=True)
class PoolGauges:
    """One pool, all its slots together. Lags are ms, None where nobody is due, or nobody ever swept."""

    counters: Counter[str] = field(default_factory=Counter)
    with_work: int = 0
    leases: int = 0
    due_lag_ms: int | None = None
    sweep_lag_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StoreGauges:
    """One reading. `first`: agents with work, those that are due the longest first; there may be more."""

    now_ms: int
    inbox_depth: int
    inbox_oldest_ms: int | None
    inbox_counters: dict[str, int]
    ownerless: int
    pools: dict[str, PoolGauges]
    first: tuple[Place, ...]


class Gauges:
    """Reads only. `look` first; the others say more of the agents that it names."""

    def __init__(
        self, client: Any, caller: Caller, keys: Keys, pools: Callable[[], list[tuple[int, str]]], books: Callable[[], Balance]
    ) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._caller, self._keys, self._pools, self._books = client, caller, keys, pools, books

    def look(self, max_agents: int) -> StoreGauges:
        """Indexes and counters of every slot. Three round trips."""
        places, inbox = self._pools(), self._keys.inbox
        limit = max_agents * DEPTHS_PER_AGENT
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.xlen(inbox["stream"])
        pipe.xrange(inbox["stream"], count=1)
        pipe.hgetall(inbox["counters"])
        pipe.hlen(inbox["dead"])
        for slot, pool in places:
            keys = self._keys.pool(slot, pool)
            pipe.hgetall(keys["counters"])
            pipe.zcard(keys["due"])
            pipe.zrange(keys["due"], 0, limit - 1, withscores=True)
            pipe.hlen(keys["leases"])
            pipe.hmget(keys["clock"], "offset", "swept")
        with unavailable("measure"):
            (seconds, micros), depth, oldest, counters, ownerless, *slots = _answers(pipe)
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        pools: dict[str, PoolGauges] = {pool: PoolGauges() for _, pool in places}
        due: list[tuple[float, str, str]] = []
        for place, (_, pool) in enumerate(places):
            found = slots[place * 5 : place * 5 + 5]
            if any(isinstance(answer, Exception) for answer in found):
                continue  # unsound data: `wake doctor` says so; the other slots are told all the same
            _add(pools[pool], now_ms, *found)
            due += [(score, pool, agent_id) for agent_id, score in found[2]]
        return StoreGauges(
            now_ms,
            int(depth),
            int(oldest[0][0].partition("-")[0]) if oldest else None,
            {name: int(count) for name, count in counters.items()},
            int(ownerless),
            pools,
            tuple((pool, agent_id) for _, pool, agent_id in sorted(due)[:limit]),
        )

    def depths(self, agents: Sequence[Place]) -> list[int]:
        """Completions that wait or are in a batch, of each agent in order."""
        depths: list[int] = []
        for page in _pages(agents):
            pipe = self._client.pipeline(transaction=False)
            for pool, agent_id in page:
                keys = self._keys.agent(pool, agent_id)
                pipe.zcard(keys["mailbox"])
                pipe.zcard(keys["frozen"])
            with unavailable(f"measure {len(page)} mailboxes"):
                counts = [0 if isinstance(count, Exception) else int(count) for count in _answers(pipe)]
            depths += [waiting + frozen for waiting, frozen in zip(counts[::2], counts[1::2], strict=True)]
        return depths

    def inspect_all(self, agents: Sequence[Place]) -> list[Inspected]:
        """What `wake explain` would see of each; one that has moved meanwhile, or whose data is unsound, is left out."""
        seen: list[Inspected] = []
        for page in _pages(agents):
            calls = [Call("inspect", self._keys.agent(pool, agent_id), {"now": 0, "agent": agent_id}) for pool, agent_id in page]
            with unavailable(f"measure {len(page)} agents"):
                replies = self._caller.call_all(calls, apart=True)
            for (pool, agent_id), reply in zip(page, replies, strict=True):
                if reply.status not in ("UNKNOWN", FAILED) and str(reply.rest[0]).partition(" ")[0] in ("", pool):
                    seen.append(inspected_from(agent_id, pool, *map(json.loads, reply.rest[1:])))
        return seen

    def oldest(self, agents: Sequence[Place]) -> dict[str, int]:
        """When the oldest was accepted of those that wait with each agent, in its mailbox or a parked batch; none waits: it is left out."""
        return {seen.agent_id: seen.oldest_at_ms for seen in self.inspect_all(agents) if seen.oldest_at_ms}

    def difference(self) -> int | None:
        """One reading of the books, in O(agents with work); None when unsound data keeps them from being read."""
        try:
            return self._books().balance
        except ResponseError:
            return None

    def letters(self, max_agents: int) -> int:
        """Dead letters of agents that lie there now, of so many agents at most in each slot."""
        places = self._pools()
        pipe = self._client.pipeline(transaction=False)
        for slot, pool in places:
            pipe.srandmember(self._keys.pool(slot, pool)["deads"], max_agents)
        with unavailable("measure dead letters"):
            owned = zip(places, _answers(pipe), strict=True)
            owners = [(pool, agent_id) for (_, pool), agents in owned if isinstance(agents, list) for agent_id in agents]
            total = 0
            for page in _pages(owners):
                for pool, agent_id in page:
                    pipe.hlen(self._keys.agent(pool, agent_id)["dead"])
                total += sum(count for count in _answers(pipe) if isinstance(count, int))
        return total


def _add(
    gauges: PoolGauges,
    now_ms: int,
    counters: dict[str, str],
    with_work: int,
    due: Sequence[tuple[str, float]],
    leases: int,
    clock: Sequence[str | None],
) -> None:
    slot_ms = now_ms + int(clock[0] or 0)
    gauges.counters.update({name: int(count) for name, count in counters.items()})
    gauges.with_work += with_work
    gauges.leases += leases
    if due and due[0][1] <= slot_ms:
        gauges.due_lag_ms = max(gauges.due_lag_ms or 0, slot_ms - int(due[0][1]))
    if clock[1]:
        gauges.sweep_lag_ms = max(gauges.sweep_lag_ms or 0, slot_ms - int(clock[1]))


def _answers(pipe: Any) -> list[Any]:
    """In order. A command that met a key of another type has its error in its place; one that concerns the whole server is raised."""
    answers = list(pipe.execute(raise_on_error=False))
    for answer in answers:
        if isinstance(answer, Exception) and (not isinstance(answer, ResponseError) or cannot_serve(answer)):
            raise answer
    return answers


def _pages(agents: Sequence[Place]) -> list[Sequence[Place]]:
    return [agents[start : start + PAGE] for start in range(0, len(agents), PAGE)]
