"""The read side: where a completion is, what waits, what is dead, whether the books balance. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dispatcher.core import session_key
from dispatcher.core.models import DeadLetter, Fate
from dispatcher.store.books import Balance, Books
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.letters import Letters

PAGE = 500


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where one completion is. `detail` is the batch id, the dead letter reason or the reason of a suppression."""

    completion_id: str
    fate: Fate
    agent_id: str | None = None
    pool: str | None = None
    via: str | None = None
    accepted_at_ms: int | None = None
    at_ms: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One agent with work, or one that is known to the store."""

    agent_id: str
    pool: str
    pending: int = 0
    parked: int = 0
    running: str | None = None
    token: int | None = None
    holder: str | None = None
    due_at_ms: int | None = None
    heartbeats: int = 0
    deferrals: dict[str, tuple[int, str]] = field(default_factory=dict)


class Ledger:
    """Reads of many keys are not one moment; `audit` re-reads before it calls a difference an error."""

    def __init__(self, client: Any, keys: Keys) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._keys = client, keys
        self.letters = Letters(client, keys, self.pools)
        self._books = Books(client, keys, self.pools, self.marker_of)

    def now_ms(self) -> int:
        with unavailable("read server time"):
            seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def home_of(self, agent_id: str) -> tuple[str, str] | None:
        """(pool, configured pool) as recorded, or None for an agent that never had a wake."""
        return self.homes_of([agent_id])[0]

    def homes_of(self, agents: Sequence[str]) -> list[tuple[str, str] | None]:
        """As `home_of`, in order and in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        for agent_id in agents:
            pipe.hget(self._keys.slot(self._keys.slot_of(agent_id))["homes"], agent_id)
        with unavailable(f"look up agent={agents[0] if len(agents) == 1 else len(agents)}"):
            return [tuple(home.split(" ")) if home else None for home in pipe.execute()]

    def pools(self) -> list[tuple[int, str]]:
        """Every (slot, pool) that the store knows."""
        pipe = self._client.pipeline(transaction=False)
        for slot in range(self._keys.slots):
            pipe.smembers(self._keys.slot(slot)["pools"])
        with unavailable("list pools"):
            return [(slot, pool) for slot, names in enumerate(pipe.execute()) for pool in sorted(names)]

    def where(self, completion_id: str) -> Whereabouts | None:
        """The fate of one completion, or None if the id is unknown, or forgotten after its retention."""
        with unavailable(f"look up completion={completion_id}"):
            return self._whereabouts([completion_id])[0] or self._where_tick(completion_id)

    def _where_tick(self, completion_id: str) -> Whereabouts | None:
        """A tick never was in the inbox; its id names its agent, and the moment at which it was due."""
        word, _, rest = completion_id.partition(":")
        agent_id, _, due_at = rest.rpartition(":")
        if word != "tick" or not (due_at.isascii() and due_at.isdecimal()) or not session_key.valid_agent_id(agent_id):
            return None
        home = self.home_of(agent_id)
        raw = self._client.hget(self._keys.agent(home[0], agent_id)["fates"], completion_id) if home else None
        if not home or not raw:
            return None
        stage, _, _, moved_at, detail = raw.split("|", 4)
        return Whereabouts(completion_id, Fate(stage), agent_id, home[0], None, int(due_at), int(moved_at), detail)

    def where_all(self, completion_ids: Sequence[str]) -> list[Whereabouts | None]:
        """As `where`, in order; however many they are, in four round trips."""
        with unavailable(f"look up {len(completion_ids)} completions"):
            return self._whereabouts(completion_ids) if completion_ids else []

    def _whereabouts(self, ids: Sequence[str]) -> list[Whereabouts | None]:
        seen = [raw.split("|") if raw else None for raw in self._client.hmget(self._keys.inbox["seen"], ids)]
        owners = sorted({str(fields[5]) for fields in seen if fields and fields[4] == Fate.ROUTED})
        homes = dict(zip(owners, self.homes_of(owners), strict=True)) if owners else {}
        pipe = self._client.pipeline(transaction=False)
        asked: dict[str, Any] = {}
        for completion_id, fields in zip(ids, seen, strict=True):
            home = homes.get(fields[5]) if fields else None
            if fields and home and completion_id not in asked:
                pipe.hget(self._keys.agent(home[0], fields[5])["fates"], completion_id)
                asked[completion_id] = None
        fates = dict(zip(asked, pipe.execute(), strict=True))
        found = [self._place(i, fields, homes, fates.get(i)) for i, fields in zip(ids, seen, strict=True)]
        running = [where for where in found if where and where.fate is Fate.RUNNING]
        for where in running:
            pipe.zscore(self._keys.agent(str(where.pool), str(where.agent_id))["parked"], where.detail)
        parked = {where.completion_id for where, score in zip(running, pipe.execute(), strict=True) if score is not None}
        # Its batch waits for the next attempt.
        return [replace(where, fate=Fate.PENDING) if where and where.completion_id in parked else where for where in found]

    def _place(self, completion_id: str, seen: list[str] | None, homes: dict[str, Any], raw: str | None) -> Whereabouts | None:
        if not seen:
            return None
        _, at, _, _, state, agent_id, via = seen
        if state in (Fate.DEAD, Fate.DROPPED):
            return Whereabouts(completion_id, Fate(state), None, None, None, int(at), None, via)
        if state == Fate.ACCEPTED:
            return Whereabouts(completion_id, Fate.ACCEPTED, accepted_at_ms=int(at))
        home = homes.get(agent_id)
        if not home or not raw:
            return Whereabouts(completion_id, Fate.ROUTED, agent_id, home[0] if home else None, via, int(at))
        stage, _, _, moved_at, detail = raw.split("|", 4)
        return Whereabouts(completion_id, Fate(stage), agent_id, home[0], via, int(at), int(moved_at), detail)

    def has_marker(self, agent_id: str, completion_id: str, entry: str) -> bool:
        """Whether this inbox entry was deposited with this agent already."""
        return bool(entry) and entry in self.marker_of(agent_id, completion_id)[1]

    def marker_of(self, agent_id: str, completion_id: str) -> tuple[int, list[str]]:
        """The revival that this agent has of a completion, and the inbox entries behind it; (-1, []) if it was never deposited with it."""
        home = self.home_of(agent_id)
        if not home:
            return -1, []
        with unavailable(f"look up agent={agent_id} completion={completion_id}"):
            raw = self._client.hget(self._keys.agent(home[0], agent_id)["fates"], completion_id)
        fields = raw.split("|") if raw else ("", -1, "")
        return int(fields[1]), [entry for entry in fields[2].split(",") if entry]

    def records(self, agent_id: str, newest: int = 1000, since_ms: int = 0) -> list[dict[str, Any]]:
        """The newest ledger lines of one agent, oldest first, among the last `newest` of its slot in each pool it may have been in."""
        slot = self._keys.slot_of(agent_id)
        with unavailable(f"read ledger of agent={agent_id}"):
            pools = sorted(self._client.smembers(self._keys.slot(slot)["pools"]))
            lines = [
                line
                for pool in pools
                for line in reversed(self._client.xrevrange(self._keys.pool(slot, pool)["ledger"], min=since_ms, count=newest))
            ]
        mine = [f | {"at": int(f["at"]), "detail": json.loads(f["detail"] or "null")} for _, f in lines if f["agent"] == agent_id]
        return sorted(mine, key=lambda f: f["at"])  # stable: what one pool wrote within a ms keeps its order

    def agents(self) -> Iterator[AgentStatus]:
        """Every agent that has work or a lease; of each slot and pool in pages of one round trip."""
        for slot, pool in self.pools():
            keys = self._keys.pool(slot, pool)
            with unavailable("list agents"):
                pipe = self._client.pipeline(transaction=False)
                pipe.zrange(keys["due"], 0, -1, withscores=True)
                pipe.hgetall(keys["leases"])
                due, leases = pipe.execute()
            for start in range(0, len(due), PAGE):
                page = [(agent_id, pool, int(at), leases.get(agent_id)) for agent_id, at in due[start : start + PAGE]]
                yield from self._statuses(page)

    def agent(self, agent_id: str) -> AgentStatus | None:
        """One agent, or None if it never had a wake."""
        home = self.home_of(agent_id)
        if not home:
            return None
        keys = self._keys.agent(home[0], agent_id)
        with unavailable(f"read agent={agent_id}"):
            due, lease = self._client.zscore(keys["due"], agent_id), self._client.hget(keys["leases"], agent_id)
        return self._statuses([(agent_id, home[0], int(due) if due is not None else None, lease)])[0]

    def _statuses(self, known: Sequence[tuple[str, str, int | None, str | None]]) -> list[AgentStatus]:
        """What else there is of these agents, each with its pool, due time and lease entry; one round trip."""
        pipe = self._client.pipeline(transaction=False)
        for agent_id, pool, _, _ in known:
            keys = self._keys.agent(pool, agent_id)
            pipe.zcard(keys["mailbox"])
            pipe.zrange(keys["parked"], 0, -1)
            pipe.hgetall(keys["state"])
        with unavailable(f"read agent={known[0][0] if len(known) == 1 else len(known)}"):
            found = pipe.execute()
        return [status_from(*one, *found[3 * i : 3 * i + 3]) for i, one in enumerate(known)]

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Every dead letter: the ownerless ones of the inbox, then those of each agent."""
        return self.letters.all()

    def dead_letter(self, completion_id: str) -> tuple[DeadLetter, dict[str, Any]] | None:
        """One dead letter and its whole record, or None."""
        return self.letters.find(completion_id)

    def presences(self) -> list[str]:
        """The holders whose presence connection stands: every router and worker process that is ready."""
        channel = self._keys.presence_channel
        with unavailable("list presences"):
            return sorted(found.removeprefix(channel) for found in self._client.pubsub_channels(f"{channel}*"))

    def inbox_depth(self) -> int:
        with unavailable("read inbox depth"):
            return int(self._client.xlen(self._keys.inbox["stream"]))

    def balance(self) -> Balance:
        """One reading of the books, the inbox first, so that what is routed meanwhile is counted once."""
        return self._books.balance()


def status_from(
    agent_id: str, pool: str, due_at_ms: int | None, lease: str | None, pending: int, parked: Sequence[str], state: Mapping[str, str]
) -> AgentStatus:
    """From the pool's view of its lease, the size of its mailbox, its parked batches and its state."""
    token, _, _, holder, batch = lease.split("|", 4) if lease else ("", "", "", "", "")
    deferrals = {k[2:]: (int(float(v)), state.get("w:" + k[2:], "")) for k, v in state.items() if k.startswith("d:")}
    return AgentStatus(
        agent_id,
        pool,
        pending,
        len(parked),
        batch or None,
        int(token) if token else None,
        holder or None,
        due_at_ms,
        int(state.get("heartbeats", 0)),
        deferrals,
    )
