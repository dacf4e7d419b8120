"""Looking for what contradicts itself in the store, and putting right what can be: indexes, counters, keys that belong to nobody.

An agent is looked at and mended in one step, so that work that goes on is not mistaken for damage. What is said about counters is said of
readings that agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from dispatcher.store.books import Balance
from dispatcher.store.connect import unavailable
from dispatcher.store.inbox import GROUP
from dispatcher.store.keys import AGENT_NAMES
from dispatcher.store.opened import Store
from dispatcher.store.scripts import Argument
from dispatcher.store.watching import unready

INDEXES = ("due", "look", "bell", "leases", "deads", "trims")
FINAL = ("settled", "suppressed", "dropped")


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction. `where` is `agent ID in POOL`, `inbox`, `counters`, `sentinel HOST:PORT` or `primary`; `mended` tells whether it
    was put right."""

    where: str
    what: str
    mended: bool


class Doctor:
    """Finds, and with `fix` mends. Every repair of an agent leaves a receipt `mended` in its ledger."""

    def __init__(self, store: Store, fix: bool) -> None:
        self._store, self._fix = store, fix
        self._client: Any = store.client

    def findings(self, agreed: Callable[[Callable[[], Balance]], Balance]) -> Iterator[Finding]:
        """Everything; `agreed` makes one balance of several readings. Raises StoreUnavailable."""
        yield from (Finding(where, what, mended=False) for where, what in unready(self._store))
        yield from self._inbox()
        for pool, agent_id in sorted(self._agents()):
            yield from self._agent(pool, agent_id)
            yield from self._handoffs(pool, agent_id)
        yield from self._counters(agreed)

    # Agents

    def _agents(self) -> set[tuple[str, str]]:
        """(pool, agent id) of all that have a key, an entry in an index, or a home."""
        keys, found = self._store.keys, set[tuple[str, str]]()
        with unavailable("look for agents"):
            for key in self._client.scan_iter(f"{keys.prefix}:{{s*}}:*:*:*", count=1_000):
                parts = key.split(":")
                if len(parts) == 5 and parts[4] in AGENT_NAMES:
                    found.add((parts[2], parts[3]))
            pools = set(self._store.ledger.pools()) | {(keys.slot_of(agent_id), pool) for pool, agent_id in found}
            for slot, pool in pools:
                found |= {(pool, agent_id) for agent_id in self._indexed(slot, pool)}
            for slot in {slot for slot, _ in pools}:
                found |= {(home.split(" ")[0], agent_id) for agent_id, home in self._client.hgetall(keys.slot(slot)["homes"]).items()}
        return found

    def _indexed(self, slot: int, pool: str) -> set[str]:
        key, agents = self._store.keys.pool(slot, pool), set[str]()
        for name in INDEXES:
            match self._client.type(key[name]):
                case "zset":
                    agents |= set(self._client.zrange(key[name], 0, -1))
                case "hash":
                    agents |= set(self._client.hkeys(key[name]))
                case "set":
                    agents |= set(self._client.smembers(key[name]))
        return {agent_id for agent_id in agents if self._store.keys.slot_of(agent_id) == slot}

    def _agent(self, pool: str, agent_id: str) -> Iterator[Finding]:
        store, where = self._store, f"agent {agent_id} in {pool}"
        arguments: dict[str, Argument] = {
            "now": store.mailbox.now_ms,
            "agent": agent_id,
            "pool": pool,
            "fix": int(self._fix),
            "ledger_max": store.limits.ledger_max,
        }
        try:
            with unavailable(f"examine agent={agent_id}"):
                reply = store.caller.call("mend", store.keys.agent(pool, agent_id), **arguments)
        except ResponseError as error:  # a key of another type: nobody knows what it should hold
            yield Finding(where, f"lost: {error}", False)
            return
        if reply.status == "FOREIGN":
            yield from self._foreign(pool, agent_id)
        elif reply.status != "SOUND":
            for what in reply.rest:
                yield Finding(where, what, reply.status == "MENDED" and not what.startswith("lost:"))

    def _foreign(self, pool: str, agent_id: str) -> Iterator[Finding]:
        """Keys of an agent in a pool where it does not live. Those with work in them are left to an operator."""
        where = f"agent {agent_id} in {pool}"
        words: dict[str, Argument] = {"agent": agent_id, "pool": pool, "fix": int(self._fix)}
        with unavailable(f"examine agent={agent_id}"):
            reply = self._store.caller.call("disown", self._store.keys.agent(pool, agent_id), **words)
        match reply.status:
            case "WORK":
                yield Finding(where, f"lost: work left behind, it lives in {reply.rest[0]}", False)
            case "ORPHANED" | "DISOWNED":
                yield Finding(where, f"orphaned: it lives in {reply.rest[0]}", reply.status == "DISOWNED")
            # HOME: it moved here since, and everything is in its place.

    def _handoffs(self, pool: str, agent_id: str) -> Iterator[Finding]:
        """Revivals for another agent that were interrupted: before the letter was taken, which an operator completes, or just after it."""
        handoffs, where = self._store.handoffs, f"agent {agent_id} in {pool}"
        try:
            noted = sorted(handoffs.open(pool, agent_id).items())
            marked = list(handoffs.marked(pool, agent_id))
        except ResponseError:
            return  # said already
        young_ms = (self._store.handoffs.now_ms or self._store.ledger.now_ms()) - self._store.limits.max_hold_ms
        for completion_id, to in ((one, to) for one, (to, at_ms) in noted if at_ms < young_ms):
            what = f"unfinished: the revival of {completion_id} for agent {to}; `wake dead revive {completion_id}` completes it"
            yield Finding(where, what, False)
        for completion_id, source, mark in marked:
            home = self._store.ledger.home_of(source)
            if not home or completion_id not in handoffs.open(home[0], source):
                mended = self._fix and handoffs.let_go(agent_id, pool, completion_id, mark)
                yield Finding(where, f"the marker of {completion_id} is kept for a letter of agent {source} that is gone", mended)

    # Inbox and counters

    def _inbox(self) -> Iterator[Finding]:
        key = self._store.keys.inbox
        with unavailable("examine the inbox"):
            if self._client.exists(key["stream"]) and GROUP not in [group["name"] for group in self._client.xinfo_groups(key["stream"])]:
                if self._fix:
                    self._store.inbox.prepare()
                yield Finding("inbox", "the routers' group is missing", self._fix)
            orphans = [entry for entry in self._client.hkeys(key["pins"]) if not self._client.xrange(key["stream"], entry, entry)]
            if orphans and self._fix:
                self._client.hdel(key["pins"], *orphans)
        if orphans:
            yield Finding("inbox", f"{len(orphans)} pins of entries that are gone", self._fix)

    def _counters(self, agreed: Callable[[Callable[[], Balance]], Balance]) -> Iterator[Finding]:
        """A counter of final fates may be larger than what is kept of them, never smaller; `accepted` is the sum of all."""
        for slot, pool in self._store.ledger.pools():
            kept = self._kept(slot, pool)  # before the counters, which only grow
            key = self._store.keys.pool(slot, pool)["counters"]
            for name in FINAL:
                with unavailable("examine counters"):
                    missing = kept[name] - int(self._client.hget(key, name) or 0)
                    if missing > 0 and self._fix:
                        self._client.hincrby(key, name, missing)
                if missing > 0:
                    yield Finding("counters", f"{name} of pool {pool} is {missing} less than what is kept", self._fix)
        try:
            balance = agreed(self._store.ledger.balance).balance
        except ResponseError as error:
            yield Finding("counters", f"lost: the books cannot be read: {error}", False)
            return
        if balance < 0:
            if self._fix:
                with unavailable("mend counters"):
                    self._client.hincrby(self._store.keys.inbox["counters"], "accepted", -balance)
            yield Finding("counters", f"accepted is {-balance} less than all that has a fate", self._fix)
        elif balance > 0:
            yield Finding("counters", f"lost: {balance} accepted completions have no fate", False)

    def _kept(self, slot: int, pool: str) -> dict[str, int]:
        """How many completions of each final fate are remembered in a pool. One that moved there was counted where it was."""
        kept = dict.fromkeys(FINAL, 0)
        keys = self._store.keys
        with unavailable("examine counters"):
            homes = self._client.hgetall(keys.slot(slot)["homes"])
            moved = any(len(set(home.split(" "))) > 1 for home in homes.values())
            if moved or self._client.scard(keys.slot(slot)["pools"]) > 1:
                return kept  # an agent that moved took its fates along, but not its counts
            for agent_id in homes:
                for raw in self._client.hvals(keys.agent(pool, agent_id)["fates"]):
                    stage = raw.partition("|")[0]
                    if stage in kept:
                        kept[stage] += 1
        return kept
