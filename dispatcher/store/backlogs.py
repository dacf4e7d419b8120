"""The backlog of each pool, as a scaler wants it: read from the indexes alone, whatever lies in the mailboxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher.core.scaling import Backlog
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys

NEWEST = 50  # receipts of each slot in which ended heartbeats are looked for
SINCE_MS = 3_600_000  # older ones say nothing of now
ENDS = ("ran", "skipped", "busy", "failed")


class Backlogs:
    """Changes nothing. Raises StoreUnavailable."""

    def __init__(self, client: Any, keys: Keys) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._keys = client, keys

    def of(self, pool: str, now_ms: int) -> Backlog:
        """Agents of one pool: due and not running, running, and how long their heartbeats took of late."""
        with unavailable(f"read the backlog of pool={pool}"):
            pipe = self._client.pipeline(transaction=False)
            for slot in range(self._keys.slots):
                pipe.hget(self._keys.pool(slot, pool)["clock"], "offset")
            offsets = [int(found or 0) for found in pipe.execute()]
            for slot, offset in enumerate(offsets):
                keys = self._keys.pool(slot, pool)
                for index in (keys["due"], keys["look"]):
                    pipe.zcount(index, "-inf", now_ms + offset)
                    pipe.zrange(index, 0, 0, withscores=True)
                pipe.hlen(keys["leases"])
                pipe.xrevrange(keys["ledger"], min=now_ms - SINCE_MS, count=NEWEST)
            replies = pipe.execute()
        eligible = running = oldest_ms = 0
        turns: list[int] = []
        for offset, start in zip(offsets, range(0, len(replies), 6), strict=True):
            due, first_due, look, first_look, leases, lines = replies[start : start + 6]
            # A tick that is due is in `look` alone, and who was rung in `due` alone.
            eligible, running = eligible + max(due, look), running + leases
            firsts = [int(first[0][1]) for first in (first_due, first_look) if first]
            oldest_ms = max(oldest_ms, *(now_ms + offset - first for first in firsts), 0)
            turns += _turns([fields for _, fields in lines])
        return Backlog(pool, eligible, running, oldest_ms, sum(turns) // len(turns) if turns else 0)

    def inbox(self, now_ms: int) -> tuple[int, int]:
        """Entries that no router has answered, and ms since the oldest was accepted."""
        with unavailable("read the inbox"):
            pipe = self._client.pipeline(transaction=False)
            pipe.xlen(self._keys.inbox["stream"])
            pipe.xrange(self._keys.inbox["stream"], count=1)
            length, first = pipe.execute()
        return length, max(0, now_ms - int(first[0][0].partition("-")[0])) if first else 0


def _turns(newest_first: Sequence[dict[str, str]]) -> list[int]:
    """ms from the begin of a batch to its end, where both receipts are among these."""
    ends: dict[str, int] = {}
    turns = []
    for line in newest_first:
        if line["what"] in ENDS:
            ends[line["batch"]] = int(line["at"])
        elif line["what"] == "begun" and line["batch"] in ends:
            turns.append(max(1, ends.pop(line["batch"]) - int(line["at"])))
    return turns
