"""The steps around one heartbeat: acquire, decide, and what the decision says; later, what follows from the outcome.

Workers and the simulator call these and no other copy. What runs between, the runner, is theirs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from dispatcher.config import Config, rules_of
from dispatcher.core import session_key
from dispatcher.core.coalesce import merged
from dispatcher.core.models import Batch, Intent, Lease, Lineage, Outcome, Source, Wake, tail_of
from dispatcher.core.policy import BuryParked, BuryTarget, Defer, RunParked, RunTarget, SetTick, admission, decide, no_place
from dispatcher.core.rules import DEAD_LETTERS_FULL, Rules
from dispatcher.core.sequel import Bury, Dissolve, Retry, Settle, Wait, avoidable, sequel
from dispatcher.core.snapshot import Deferral, Snapshot
from dispatcher.store.cadences import TickChange, Ticked
from dispatcher.store.mailbox import Begun, Ended, Leased
from dispatcher.store.opened import Store

log = logging.getLogger(__name__)
MAX_DECISIONS = 10
NOTE_BYTES = 2_000  # of what a runner printed, kept in the ledger
FULL_WAIT_MS = 60_000
Act = RunTarget | RunParked | BuryTarget | BuryParked | Defer
T = TypeVar("T")


class Insist(Protocol):
    """Calls a step, again and again for so many seconds while its answer is lost."""

    def __call__(self, step: Callable[[], T], within_s: float) -> T: ...


@dataclass(frozen=True, slots=True)
class Started:
    """A batch has begun under the lease. `asked_at` is monotonic, from before the call that began it, and `at_ms` about the same moment by
    the server's clock. `capped`: it has a place to leave."""

    lease: Lease
    batch: Batch
    asked_at: float
    capped: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    """No heartbeat now: what was done instead, and whether the agent is due again."""

    did: str
    detail: str = ""
    batch_id: str = ""
    ring: bool = False
    deferrals: tuple[Deferral, ...] = ()


class Heartbeats:
    """The steps of one process for the agents of one pool and one configuration. Safe for threads."""

    def __init__(
        self, store: Store, config: Config, pool: str, holder: str, insist: Insist, limit_ms: Callable[[str], int], trust_s: float
    ) -> None:
        """`limit_ms`: how long a heartbeat of an agent may hold its lease. `trust_s`: how long a lease is trusted from the call on."""
        self._store, self._config, self._pool, self._holder = store, config, pool, holder
        self._insist, self._limit_ms, self._trust_s = insist, limit_ms, trust_s
        self._claim_s = config.lease.claim_ms / 1000

    def begin(self, agent_id: str, nonce: str, on_lease: Callable[[Lease], object] = lambda _lease: None) -> Started | NotStarted:
        """Does what is due for this agent now, up to the begin of at most one batch. Raises StoreUnavailable."""
        rules = rules_of(self._config, agent_id)
        held: Leased | None = None
        for _ in range(MAX_DECISIONS):
            if held is None:
                acquired = self._insist(partial(self._store.mailbox.acquire, agent_id, self._pool, self._holder, nonce), self._claim_s)
                if not isinstance(acquired, Leased):
                    return NotStarted(acquired.status.lower().replace("_", "-"), acquired.detail)
                held = acquired
                on_lease(held.lease)
            decision = decide(held.snapshot, rules)
            if isinstance(decision, SetTick):
                held = self._tick(held.lease, held.snapshot, decision)
                continue
            done = self._act(held.lease, held.snapshot, decision, rules)
            if done is not None:
                return done
            held = None  # something changed meanwhile: the same nonce gets the same token, with what is there now
        return NotStarted("undecided")

    def _act(self, lease: Lease, snapshot: Snapshot, decision: Act, rules: Rules) -> Started | NotStarted | None:
        """What the decision says. None: decide again."""
        match decision:
            case Defer(deferrals):
                return self._defer(lease, snapshot, deferrals)
            case BuryTarget(session, intents, reason):
                step = partial(self._store.mailbox.begin, lease, session, intents, rules.max_batch, 0, counts=False)
                begun = self._insist(step, self._claim_s)
                if not isinstance(begun, Begun):
                    return _refused("begin", "not-begun", lease, begun)
                return self._bury(lease, snapshot, begun.batch.batch_id, reason, running=True)
            case BuryParked(batch_id, reason):
                return self._bury(lease, snapshot, batch_id, reason, running=False)
            case RunTarget() | RunParked():
                return self._start(lease, snapshot, decision, rules)

    def _start(self, lease: Lease, snapshot: Snapshot, decision: RunTarget | RunParked, rules: Rules) -> Started | NotStarted | None:
        wanted = admission(snapshot, decision, rules)
        if wanted is not None:
            no = self._insist(partial(self._store.caps.admit, lease.agent_id, lease.pool, wanted, rules), self._claim_s)
            if no is not None:
                return self._defer(lease, snapshot, no_place(snapshot, wanted, no.wait_ms))
        capped = wanted is not None and (rules.all_cap > 0 or rules.pool_cap > 0)
        asked_at, limit_ms = time.monotonic(), self._limit_ms(lease.agent_id)
        if isinstance(decision, RunParked):
            step = partial(self._store.mailbox.resume, lease, decision.batch_id, limit_ms)
        else:
            step = partial(self._store.mailbox.begin, lease, decision.session_key, decision.intents, rules.max_batch, limit_ms)
        begun = self._insist(step, self._trust_s)
        if isinstance(begun, Begun):
            return Started(lease, begun.batch, asked_at, capped, snapshot.real_ms or snapshot.now_ms)
        if capped:
            self._store.caps.leave(lease.agent_id, lease.pool)
        return _refused("begin", "not-begun", lease, begun)

    def _defer(self, lease: Lease, snapshot: Snapshot, deferrals: Sequence[Deferral]) -> NotStarted | None:
        ended = self._insist(partial(self._store.mailbox.defer, lease, snapshot.seq, deferrals), self._claim_s)
        if ended.status == "CHANGED":
            return None
        why = sorted({f"{d.reason} until {d.until_ms}" for d in deferrals})
        return NotStarted("deferred", "; ".join(why), ring=ended.ring, deferrals=tuple(deferrals))

    def _tick(self, lease: Lease, snapshot: Snapshot, decision: SetTick) -> Leased | None:
        """The cadence moves on; what is there afterwards. None: somebody else moved it, or our answer was lost; acquire tells."""
        agent_id, due = lease.agent_id, snapshot.tick
        key = session_key.main_session(agent_id, self._config.agent(agent_id).main_key)
        wake = tick_wake(agent_id, key, due.next_ms, snapshot.real_ms) if decision.deposit and due else None
        change, configured = TickChange(agent_id, due, decision.tick), self._config.pool_of(agent_id)
        moved = self._insist(partial(self._store.cadences.move_on, lease, change, wake, key, configured, decision.why), self._claim_s)
        return Leased(lease, moved.snapshot) if isinstance(moved, Ticked) else None

    def _bury(self, lease: Lease, snapshot: Snapshot, batch_id: str, reason: str, *, running: bool) -> NotStarted:
        mailbox = self._store.mailbox
        ended = self._insist(partial(mailbox.bury, lease, batch_id, reason, ""), self._claim_s)
        if ended.status == "BURIED":
            return NotStarted("dead-lettered", reason, batch_id, ended.ring)
        if ended.status != "DEAD_FULL":
            return _refused("bury", "not-buried", lease, ended, batch_id)
        _say_dead_full(lease, batch_id)
        if running:
            self._insist(partial(mailbox.park, lease, batch_id, "handed-back", FULL_WAIT_MS, reason), self._claim_s)
        else:
            full = Deferral(f"batch:{batch_id}", snapshot.now_ms + FULL_WAIT_MS, DEAD_LETTERS_FULL)
            self._insist(partial(mailbox.defer, lease, snapshot.seq, [full]), self._claim_s)
        return NotStarted("deferred", DEAD_LETTERS_FULL, batch_id)

    def ending(self, lease: Lease, batch: Batch, outcome: Outcome, jitter: float) -> Callable[[], Ended]:
        """The step that writes what follows from this outcome; it may be called again while its answer is lost."""
        mailbox, batch_id = self._store.mailbox, batch.batch_id
        _, intent, _ = merged(batch.wakes)
        match sequel(outcome, intent, batch.attempt, batch.failures, rules_of(self._config, lease.agent_id), jitter):
            case Settle(kind):
                detail = outcome.model_dump(exclude={"kind"}) | {"n": len(batch.wakes), "attempt": batch.attempt}
                detail["note"] = tail_of(str(detail.get("note", "")), NOTE_BYTES)
                return lambda: mailbox.settle(lease, batch_id, "ran" if kind == "ran" else "skipped", detail, avoidable(outcome))
            case Dissolve(wait_ms, all_ms, rest_ms, reason):
                return lambda: mailbox.dissolve(lease, batch_id, wait_ms, all_ms, rest_ms, reason)
            case Wait(wait_ms, reason):
                return lambda: mailbox.park(lease, batch_id, "busy", wait_ms, reason)
            case Retry(delay_ms, error):
                return lambda: mailbox.park(lease, batch_id, "failed", delay_ms, error[:500])
            case Bury(reason, error):
                return lambda: self._bury_ended(lease, batch_id, reason, error[:500])

    def cancelling(self, lease: Lease, batch_id: str, *, to_retry: bool) -> Callable[[], Ended]:
        """The step that ends a batch whose heartbeat an operator broke off: again at once, or never. Its receipt says by whom."""
        if to_retry:
            return lambda: self._store.mailbox.park(lease, batch_id, "cancelled", 0, "")
        return lambda: self._bury_ended(lease, batch_id, "cancelled", "")

    def _bury_ended(self, lease: Lease, batch_id: str, reason: str, error: str) -> Ended:
        ended = self._store.mailbox.bury(lease, batch_id, reason, error)
        if ended.status != "DEAD_FULL":
            return ended
        _say_dead_full(lease, batch_id)
        return self._store.mailbox.park(lease, batch_id, "failed", FULL_WAIT_MS, error)


def tick_wake(agent_id: str, key: str, due_ms: int, now_ms: int) -> Wake:
    """The waiting wake that a tick becomes: one for all ticks that were missed."""
    wake_id = f"tick:{agent_id}:{due_ms}"
    return Wake(
        wake_id=wake_id,
        source=Source.INTERVAL,
        intent=Intent.SCHEDULED,
        reason="interval",
        text="",
        key=key,
        lineage=Lineage(root=wake_id),
        accepted_at_ms=now_ms,
    )


def describe(agent_id: str, done: NotStarted) -> dict[str, Any]:
    """As a task's result."""
    did = {"agent": agent_id, "did": done.did, "detail": done.detail}
    return did | ({"batch": done.batch_id} if done.batch_id else {})


def _say_dead_full(lease: Lease, batch_id: str) -> None:
    log.error("bury agent=%s batch=%s: the dead letters are full, it waits; revive or drop some", lease.agent_id, batch_id)


def _refused(step: str, did: str, lease: Lease, ended: Ended, batch_id: str = "") -> NotStarted:
    log.warning("%s agent=%s: refused: %s; a later look decides again", step, lease.agent_id, ended.status)
    return NotStarted(did, ended.status, batch_id)
