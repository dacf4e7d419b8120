"""A store on a real server under a virtual clock: short ways into each state, and a check of the whole state after every step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from dispatcher.core.models import Address, Batch, Intent, Lease, Lineage, Source, Wake
from dispatcher.core.snapshot import Deferral
from dispatcher.store.cadences import Cadences
from dispatcher.store.caps import Caps
from dispatcher.store.entries import Claimed, InboxEntry
from dispatcher.store.handoffs import Handoffs
from dispatcher.store.holds import Holds
from dispatcher.store.inbox import Inbox, Submission
from dispatcher.store.inspection import Inspection
from dispatcher.store.keys import LANES, Keys
from dispatcher.store.ledger import Ledger
from dispatcher.store.limits import StoreLimits
from dispatcher.store.mailbox import Begun, Deposit, Ended, Leased, Mailbox, NotLeased
from dispatcher.store.scripts import Argument, Call, Caller, Reply
from tests.support.gates import wait_until
from tests.support.store_state import assert_sound, snapshot

T0 = 1_800_000_000_000
HOUR_MS = 3_600_000
LIMIT_MS = 600_000
AGENT, POOL = "ops", "agents"
MAIN, SIDE = "agent:ops:main", "agent:ops:side"
INTENTS = tuple(lane.removeprefix("lane_") for lane in LANES)


class CheckedCaller(Caller):
    """The real caller, which looks at the whole state after every round: the due index, the lanes, the batches, and the books."""

    def __init__(self, client: Any, keys: Keys) -> None:
        super().__init__(client)
        self._keys, self._ledger, self.books = keys, Ledger(client, keys), True

    def call_all(self, calls: list[Call], *, apart: bool = False) -> list[Reply]:
        try:
            return super().call_all(calls, apart=apart)
        finally:
            assert_sound(self.client, self._keys)
            if self.books:
                balance = self._ledger.balance()
                assert balance.balance == 0, f"after {calls[0].script}: {balance}"


class Rig:
    """One store. `now_ms` is its clock, which stands still unless a test moves it; 0 makes it the server's."""

    def __init__(self, client: Any, *, now_ms: int = T0, **limits: int) -> None:
        # redis-py types each reply as bytes, text or awaitable, whatever the client was made for.
        self.client = client
        self.keys = Keys("wake", 64)
        # What the server times by its own clock does not happen by itself, however long a test is stopped between two lines.
        self.limits = replace(StoreLimits(), **{"idle_ms": 600_000, "announce_ms": 600_000} | limits)
        self.caller = CheckedCaller(client, self.keys)
        self.inbox = Inbox(self.caller, self.keys, self.limits)
        self.mailbox = Mailbox(self.caller, self.keys, self.limits, now_ms)
        self.cadences = Cadences(client, self.caller, self.keys, self.limits)
        self.caps = Caps(self.caller, self.keys, self.limits)
        self.ledger = Ledger(client, self.keys)
        self.holds = Holds(client, self.caller, self.keys, self.limits)
        self.handoffs = Handoffs(client, self.caller, self.keys)
        self.inspection = Inspection(client, self.caller, self.keys, self.ledger.pools)
        self.now_ms = now_ms
        self.inbox.prepare()
        self._nonce = 0

    @property
    def now_ms(self) -> int:
        return self.mailbox.now_ms

    @now_ms.setter
    def now_ms(self, now_ms: int) -> None:
        for part in (self.mailbox, self.cadences, self.caps, self.holds, self.handoffs, self.inspection):
            part.now_ms = now_ms

    def limited(self, **limits: int) -> Rig:
        """The same store with other limits and the same time."""
        return Rig(self.client, now_ms=self.now_ms, **limits)

    def key(self, name: str, pool: str = POOL, agent_id: str = AGENT) -> str:
        return self.keys.agent(pool, agent_id)[name]

    # Inbox

    def submitted(self, completion_id: str, session: str = MAIN) -> InboxEntry:
        """A completion, accepted and claimed by router r1."""
        self.inbox.submit(submission(completion_id, session), self.now_ms)
        return next(e for e in self.inbox.claim("r1", 1000).entries if e.completion_id == completion_id)

    def rejected(self, completion_id: str, reason: str = "unbound-key", session: str = "node-mac") -> InboxEntry:
        """An ownerless dead letter."""
        entry = self.submitted(completion_id, session)
        assert self.inbox.reject(entry, reason, letter(self.now_ms, session)) == "REJECTED"
        return entry

    # Mailbox

    def put(self, entry: InboxEntry, intent: str = "event", session: str = MAIN, **other: Any) -> Reply:
        """Deposits an entry that a router holds, and does not acknowledge it."""
        return self.mailbox.deposit_all([deposit(entry, intent, session, **other)])[0]

    def wake(self, completion_id: str, intent: str = "event", session: str = MAIN, **other: Any) -> Reply:
        """The whole way: accepted, claimed, deposited, acknowledged. The reply of the deposit."""
        entry = self.submitted(completion_id, session)
        reply = self.put(entry, intent, session, **other)
        self.inbox.acknowledge([(entry, AGENT, "session-key")])
        return reply

    def acquire(self, holder: str = "h1", nonce: str = "", pool: str = POOL) -> Leased | NotLeased:
        self._nonce += 1
        return self.mailbox.acquire(AGENT, pool, holder, nonce or f"n{self._nonce}")

    def leased(self, holder: str = "h1", nonce: str = "", pool: str = POOL) -> Leased:
        answer = self.acquire(holder, nonce, pool)
        assert isinstance(answer, Leased), answer
        return answer

    def begun(self, lease: Lease, session: str = MAIN, intents: Sequence[str] = INTENTS, max_batch: int = 5000) -> Batch:
        answer = self.mailbox.begin(lease, session, intents, max_batch, LIMIT_MS)
        assert isinstance(answer, Begun), answer
        return answer.batch

    def resumed(self, lease: Lease, batch_id: str) -> Batch:
        answer = self.mailbox.resume(lease, batch_id, LIMIT_MS)
        assert isinstance(answer, Begun), answer
        return answer.batch

    def running(self, *completion_ids: str, intent: str = "event", session: str = MAIN, holder: str = "h1") -> tuple[Lease, Batch]:
        """Completions that came, were due at once, and run now as one batch."""
        for completion_id in completion_ids or ("c1",):
            self.wake(completion_id, intent, session)
        lease = self.leased(holder).lease
        return lease, self.begun(lease, session)

    def parked(self, *completion_ids: str, delay_ms: int = 2000, kind: Literal["failed", "handed-back"] = "failed", **of: Any) -> Batch:
        """Completions whose first heartbeat failed."""
        lease, batch = self.running(*completion_ids, **of)
        assert self.mailbox.park(lease, batch.batch_id, kind, delay_ms, "boom").status == "PARKED"
        return batch

    def buried(self, *completion_ids: str) -> Batch:
        """Completions that are dead letters of the agent."""
        lease, batch = self.running(*completion_ids)
        assert self.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "boom").status == "BURIED"
        return batch

    def taken_over(self) -> tuple[Lease, Batch]:
        """The lease of a holder that was away too long, and its batch: h2 holds the agent now."""
        lease, batch = self.running()
        self.now_ms += self.limits.ttl_ms
        self.leased("h2")
        return lease, batch

    def settle(self, lease: Lease, batch: Batch) -> Ended:
        return self.mailbox.settle(lease, batch.batch_id, "ran", {})

    def defer(self, leased: Leased, *deferrals: tuple[str, int]) -> Ended:
        """Defers (kind, ms from now) with the reason `why`."""
        return self.mailbox.defer(leased.lease, leased.snapshot.seq, [Deferral(k, self.now_ms + ms, "why") for k, ms in deferrals])

    # Slot

    def step(self, script: str, pool: str = POOL, **args: Argument) -> Reply:
        """A step that has no method of its own yet, on the keys of the agent."""
        return self.caller.call(script, self.keys.agent(pool, AGENT), **args)

    def sweep(self, *, backlog: bool = False, limit: int = 100) -> tuple[int, list[str]]:
        """When to look next, and whom to ring."""
        reply = self.step("sweep", now=self.now_ms, limit=limit, ttl_ms=self.limits.ttl_ms, backlog=int(backlog))
        assert reply.status == "SWEPT"
        return int(reply.rest[0]), reply.rest[1:]

    # State

    def due_ms(self, pool: str = POOL) -> int | None:
        """When somebody looks at the agent, or None."""
        score = self.client.zscore(self.key("due", pool), AGENT)
        return None if score is None else int(score)

    def fate(self, completion_id: str) -> str:
        where = self.ledger.where(completion_id)
        return where.fate.value if where else "unknown"

    def waiting(self) -> list[str]:
        """The ids in the mailbox, per lane in the order in which they would be served."""
        return [member.split("\x1f")[4] for member in self.client.zrange(self.key("mailbox"), 0, -1)]

    def starts(self) -> list[str]:
        return (self.client.hget(self.key("state"), "starts") or "").split()

    @contextmanager
    def unchanged(self, *ignoring: str) -> Iterator[None]:
        """The steps inside leave every key as it was, but `clock` and those that end in one of these names."""
        before = snapshot(self.client, *ignoring)
        yield
        assert snapshot(self.client, *ignoring) == before

    @contextmanager
    def presence(self, holder: str) -> Iterator[None]:
        """The holder is there: it has a connection that listens on its channel."""
        channel = self.keys.presence_channel + holder
        with self.client.pubsub() as connection:
            connection.subscribe(channel)
            wait_until(lambda: self._listeners(channel) == 1, 60, f"{holder} is present")
            yield
        wait_until(lambda: self._listeners(channel) == 0, 60, f"{holder} is absent")

    def _listeners(self, channel: str) -> int:
        return int(self.client.pubsub_numsub(channel)[0][1])


def submission(completion_id: str, session: str = MAIN, digest: str = "digest") -> Submission:
    return Submission(completion_id, digest, json.dumps({"completion_id": completion_id, "session_key": session}))


def letter(now_ms: int, session: str = "node-mac") -> dict[str, Any]:
    """What a router notes on an ownerless dead letter."""
    return {"dead_at": now_ms, "session_key": session, "message": "no owner"}


def deposit(
    entry: InboxEntry, lane: str = "event", session: str = MAIN, *, pool: str = POOL, configured: str = POOL, delay_ms: int = 0,
    output: str = "", read_at_ms: int = 0, quiet_ms: int = 0, max_wait_ms: int = 0, depth: int = 0,
) -> Deposit:  # fmt: skip
    """One wake for the owner of `session`, due after `delay_ms`."""
    wake = Wake(
        wake_id=entry.completion_id, source=Source.EXEC_EVENT, intent=Intent.EVENT if lane in ("rider", "deep") else Intent(lane),
        reason="exec-event", text=f"Exec completed ({entry.completion_id})", accepted_at_ms=entry.accepted_at_ms,
        lineage=Lineage(root="root", depth=depth) if depth else None,
    )  # fmt: skip
    address = Address(agent_id=session.split(":")[1], session_key=session)
    return Deposit(address, pool, configured, wake, lane, delay_ms, output, entry.entry, entry.revival, read_at_ms, quiet_ms, max_wait_ms)


def ids(batch: Batch) -> list[str]:
    return [wake.wake_id for wake in batch.wakes]


def entry_ids(claimed: Claimed) -> list[str]:
    return [entry.completion_id for entry in claimed.entries]
