"""Reads of the dead letters: the ownerless ones of the inbox, and those of each agent. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from dispatcher.core.models import DeadLetter, Wake
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys

Record = dict[str, Any]
PAGE = 100  # a letter may carry 16 KiB of output


class Letters:
    """Dead letters are found by themselves, not through receipts: a receipt may be forgotten long before its letter."""

    def __init__(self, client: Any, keys: Keys, pools: Callable[[], list[tuple[int, str]]]) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._keys, self._pools = client, keys, pools

    def all(self) -> Iterator[DeadLetter]:
        """Every dead letter: the ownerless ones, then those of each agent."""
        with unavailable("list dead letters"):
            inbox = self._client.hgetall(self._keys.inbox["dead"])
        for completion_id, raw in inbox.items():
            yield _ownerless(completion_id, json.loads(raw))
        for pool, agent_id in self._owners():
            pipe = self._client.pipeline(transaction=False)
            for name in ("dead", "handoffs"):
                pipe.hgetall(self._keys.agent(pool, agent_id)[name])
            with unavailable(f"list dead letters of agent={agent_id}"):
                letters, handoffs = pipe.execute()
            for completion_id, raw in letters.items():
                yield _owned(completion_id, agent_id, _with_handoff(raw, handoffs.get(completion_id)))

    def find(self, completion_id: str) -> tuple[DeadLetter, Record] | None:
        """One dead letter and its whole record, or None. Of two (a revival that was interrupted) the older.

        `handoff` in the record: whom it is being revived for (`to`, `session`, `via`), if that is another agent.
        """
        with unavailable(f"look up dead letter completion={completion_id}"):
            raw = self._client.hget(self._keys.inbox["dead"], completion_id)
        if raw:
            return _ownerless(completion_id, json.loads(raw)), json.loads(raw)
        owners = self._owners()
        pipe = self._client.pipeline(transaction=False)
        for pool, agent_id in owners:
            for name in ("dead", "handoffs"):
                pipe.hget(self._keys.agent(pool, agent_id)[name], completion_id)
        with unavailable(f"look up dead letter completion={completion_id}"):
            raws = pipe.execute()
        both = zip(owners, raws[::2], raws[1::2], strict=True)
        found = [(agent_id, _with_handoff(raw, handoff)) for (_, agent_id), raw, handoff in both if raw]
        if not found:
            return None
        agent_id, record = min(found, key=lambda item: item[1]["revival"])
        return _owned(completion_id, agent_id, record), record

    def count(self) -> int:
        owners = self._owners()
        pipe = self._client.pipeline(transaction=False)
        pipe.hlen(self._keys.inbox["dead"])
        for pool, agent_id in owners:
            pipe.hlen(self._keys.agent(pool, agent_id)["dead"])
        with unavailable("count dead letters"):
            return sum(pipe.execute())

    def dead_before(self, before_ms: int) -> Iterator[tuple[DeadLetter, str | None]]:
        """Those that have been dead since before then, with the agent that they lie with; read a page at a time."""
        for key, owner in [(self._keys.inbox["dead"], None), *((self._keys.agent(p, a)["dead"], a) for p, a in self._owners())]:
            with unavailable("list dead letters"):
                for completion_id, raw in self._client.hscan_iter(key, count=PAGE):
                    letter = _owned(completion_id, owner, json.loads(raw)) if owner else _ownerless(completion_id, json.loads(raw))
                    if letter.dead_at_ms < before_ms:
                        yield letter, owner

    def _owners(self) -> list[tuple[str, str]]:
        """(pool, agent id) of every agent that has dead letters."""
        pools = self._pools()
        pipe = self._client.pipeline(transaction=False)
        for slot, pool in pools:
            pipe.smembers(self._keys.pool(slot, pool)["deads"])
        with unavailable("list dead letters"):
            return [(pool, agent_id) for (_, pool), agents in zip(pools, pipe.execute(), strict=True) for agent_id in sorted(agents)]


def wake_of(letter: Record) -> Wake:
    """The wake inside an agent's dead letter."""
    return Wake.model_validate_json(letter["wake"])


def _with_handoff(raw: str, handoff: str | None) -> Record:
    """A note about an earlier letter of the same id does not count."""
    record: Record = json.loads(raw)
    noted = json.loads(handoff) if handoff else None
    return record | {"handoff": noted} if noted and noted["revival"] == record["revival"] + 1 else record


def _ownerless(completion_id: str, letter: Record) -> DeadLetter:
    return DeadLetter(
        completion_id=completion_id,
        reason=letter["reason"],
        session_key=letter.get("session_key", ""),
        agent_id=letter.get("agent_id"),
        attempts=0,
        dead_at_ms=int(letter["dead_at"]),
        errors=(letter["message"],) if letter.get("message") else (),
    )


def _owned(completion_id: str, agent_id: str, letter: Record) -> DeadLetter:
    return DeadLetter(
        completion_id=completion_id,
        reason=letter["reason"],
        session_key=letter["session"],
        agent_id=agent_id,
        attempts=int(letter["attempts"]),
        dead_at_ms=int(letter["at"]),
        batch_id=letter.get("batch"),
        errors=tuple(letter.get("errors") or ()),
        handoff_to=letter["handoff"]["to"] if "handoff" in letter else None,
    )
