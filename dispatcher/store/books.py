"""The books: every accepted completion has one place. Read from the state itself, not from counters that could agree with a fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from dispatcher.core import session_key
from dispatcher.store.connect import unavailable
from dispatcher.store.inbox import GROUP
from dispatcher.store.keys import Keys

SEP = "\x1f"
PAGE = 500


@dataclass(frozen=True, slots=True)
class Balance:
    """One reading of the books. `accepted` equals the sum of the others, or something is wrong, or still moving."""

    accepted: int
    unrouted: int
    pending: int
    running: int
    settled: int
    suppressed: int
    dead: int
    dropped: int

    @property
    def balance(self) -> int:
        rest = self.unrouted + self.pending + self.running + self.settled + self.suppressed + self.dead + self.dropped
        return self.accepted - rest


class Books:
    """Reads of many keys are not one moment: a difference is an error only if it stays."""

    def __init__(
        self, client: Any, keys: Keys, pools: Callable[[], list[tuple[int, str]]], marker_of: Callable[[str, str], tuple[int, list[str]]]
    ) -> None:
        self._client, self._keys, self._pools, self._marker_of = client, keys, pools, marker_of

    def balance(self) -> Balance:
        """One reading, the inbox first. Bodies are read of claimed entries only, a page at a time."""
        inbox = self._keys.inbox
        with unavailable("audit"):
            pipe = self._client.pipeline()  # one moment for all of the inbox
            pipe.xlen(inbox["stream"])
            pipe.hgetall(inbox["counters"])
            pipe.hlen(inbox["dead"])
            length, counters, dead = pipe.execute()
            marked = self._marked(self._claimed(length)) if length else 0
        totals = {"accepted": int(counters.get("accepted", 0)), "pending": 0, "running": 0, "settled": 0, "dead": int(dead)}
        totals |= {name: int(counters.get(name, 0)) for name in ("suppressed", "dropped")}
        for slot, pool in self._pools():
            with unavailable("audit"):
                self._add_pool(slot, pool, totals)
        return Balance(unrouted=length - marked, **totals)

    def _add_pool(self, slot: int, pool: str, totals: dict[str, int]) -> None:
        keys = self._keys.pool(slot, pool)
        pipe = self._client.pipeline(transaction=False)
        pipe.zrange(keys["due"], 0, -1)
        pipe.smembers(keys["deads"])
        pipe.hgetall(keys["counters"])
        pipe.hgetall(keys["leases"])
        agents, deads, counters, leases = pipe.execute()
        for agent_id in agents:
            pipe.zcard(self._keys.agent(pool, agent_id)["mailbox"])
            pipe.zcard(self._keys.agent(pool, agent_id)["frozen"])
            batch = leases.get(agent_id, "||||").split("|", 4)[4]
            pipe.zlexcount(self._keys.agent(pool, agent_id)["frozen"], f"[{batch}{SEP}", f"({batch} ")
        sizes = pipe.execute()
        for waiting, frozen, running in zip(sizes[::3], sizes[1::3], sizes[2::3], strict=True):
            totals["pending"] += waiting + frozen - running
            totals["running"] += running
        for agent_id in deads:
            pipe.hlen(self._keys.agent(pool, agent_id)["dead"])
            pipe.hgetall(self._keys.agent(pool, agent_id)["handoffs"])
        letters = pipe.execute()
        totals["dead"] += sum(letters[::2]) - sum(self._handed_over(handoffs) for handoffs in letters[1::2])
        for name in ("accepted", "settled", "suppressed", "dropped"):  # a slot itself accepts the ticks of a cadence
            totals[name] += int(counters.get(name, 0))

    def _handed_over(self, handoffs: dict[str, str]) -> int:
        """How many of these letters lie with another agent already, which counts them: the crash came before they were taken."""
        noted = [(completion_id, json.loads(raw)) for completion_id, raw in handoffs.items()]
        return sum(self._marker_of(note["to"], completion_id)[0] >= note["revival"] for completion_id, note in noted)

    def _claimed(self, count: int) -> list[str]:
        try:
            pending = self._client.xpending_range(self._keys.inbox["stream"], GROUP, "-", "+", count)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            return []  # no router was here yet
        return [entry["message_id"] for entry in pending]

    def _marked(self, claimed: list[str]) -> int:
        """How many of these entries are deposited and not yet acknowledged."""
        pins = self._client.hgetall(self._keys.inbox["pins"])
        marked = 0
        for start in range(0, len(claimed), PAGE):
            pipe = self._client.pipeline(transaction=False)
            for entry in claimed[start : start + PAGE]:
                pipe.xrange(self._keys.inbox["stream"], entry, entry)
            for entry, fields in (found[0] for found in pipe.execute() if found):
                owner = _owner_in(fields.get("body", ""), pins.get(entry, ""))
                marked += bool(owner) and entry in self._marker_of(str(owner), fields.get("id", ""))[1]
        return marked


def _owner_in(body: str, pin: str) -> str | None:
    """Whom an inbox entry would be deposited with: its pin, else its key, else the agent it names."""
    if pin:
        return pin.partition("|")[0]
    try:
        completion = json.loads(body)
        parsed = session_key.parse(completion.get("session_key"))
        return parsed.agent_id if parsed else completion.get("agent_id")
    except (ValueError, AttributeError, TypeError, RecursionError):  # anything may lie there
        return None
