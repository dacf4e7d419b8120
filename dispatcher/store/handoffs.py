"""The revival of a dead letter for another agent than the one it lies with: two slots, so no single step can do it.

Whom it is for is noted beside the letter first, and the first note holds. Then the wake is deposited there with a mark that keeps its
marker, then the letter goes, then the mark. Whoever repeats this after a crash carries on with the agent that is noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dispatcher.core.models import Address, Via
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.scripts import Caller

MARK = "from:"


@dataclass(frozen=True, slots=True)
class Handoff:
    """Whom a dead letter is revived for. `entries`: what the new marker begins with. `at_ms`: the server's time when the note was read."""

    agent_id: str
    session_key: str
    via: Via
    revival: int
    entries: str
    at_ms: int


class Handoffs:
    """The steps of it. `now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, client: Any, caller: Caller, keys: Keys, now_ms: int = 0) -> None:
        self._client, self._caller, self._keys, self.now_ms = client, caller, keys, now_ms

    def note(self, owner: str, pool: str, completion_id: str, revival: int, to: Address, via: Via) -> Handoff | None:
        """Notes whom the letter is for, unless that is noted already; what stands there then. None: this letter is not there any more."""
        with unavailable(f"revive agent={owner} completion={completion_id}"):
            reply = self._caller.call(
                "handoff",
                self._keys.agent(pool, owner),
                now=self.now_ms,
                agent=owner,
                id=completion_id,
                revival=revival,
                to=to.agent_id,
                session=to.session_key,
                via=via,
            )
        if reply.status != "HANDED":
            return None
        told = json.loads(reply.rest[0])
        entries = mark_of(owner, revival) + ("," + told["entries"] if told["entries"] else "")
        return Handoff(told["to"], told["session"], told["via"], int(told["revival"]), entries, int(reply.rest[1]))

    def take(self, owner: str, pool: str, completion_id: str, revival: int) -> bool:
        """Removes the letter, whose wake lies with the agent that is noted. False: it is not there any more."""
        with unavailable(f"revive agent={owner} completion={completion_id}"):
            reply = self._caller.call(
                "take_dead", self._keys.agent(pool, owner), now=self.now_ms, agent=owner, id=completion_id, revival=revival
            )
        return reply.status == "TAKEN"

    def let_go(self, agent_id: str, pool: str, completion_id: str, mark: str) -> bool:
        """The marker of the new owner need not outlive the letter, which is gone. False: it has no such mark."""
        with unavailable(f"revive agent={agent_id} completion={completion_id}"):
            reply = self._caller.call(
                "let_go", self._keys.agent(pool, agent_id), now=self.now_ms, agent=agent_id, id=completion_id, mark=mark
            )
        return reply.status == "LET_GO"

    def open(self, pool: str, owner: str) -> dict[str, tuple[str, int]]:
        """Completion id -> the agent that its revival is for, and since when (server ms), of one agent's letters."""
        with unavailable(f"read handoffs of agent={owner}"):
            noted = self._client.hgetall(self._keys.agent(pool, owner)["handoffs"])
        told = {completion_id: json.loads(raw) for completion_id, raw in noted.items()}
        return {completion_id: (str(note["to"]), int(note["at"])) for completion_id, note in told.items()}

    def marked(self, pool: str, agent_id: str) -> Iterator[tuple[str, str, str]]:
        """(completion id, agent that it came from, mark) of the markers that are kept for a handoff. Reads all fates of the agent."""
        with unavailable(f"read markers of agent={agent_id}"):
            for completion_id, raw in self._client.hscan_iter(self._keys.agent(pool, agent_id)["fates"], count=1_000):
                for entry in raw.split("|")[2].split(","):
                    if entry.startswith(MARK):
                        yield completion_id, entry.split(":")[1], entry


def mark_of(owner: str, revival: int) -> str:
    """What stands among the entries of a marker until the letter that it came from is gone."""
    return f"{MARK}{owner}:{revival}"
