"""One heartbeat, top to bottom: acquire, decide, begin, coalesce, run, settle. The lease makes it one at a time, wherever workers are."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from dispatcher.config import Config
from dispatcher.core.coalesce import coalesce, merged
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.models import Batch, Failed, Lease, Outcome, tail_of
from dispatcher.core.policy import Bury, BuryParked, Defer, Dissolve, Retry, RunParked, Settle, Wait, decide, sequel
from dispatcher.core.snapshot import Deferral
from dispatcher.routing import Ringer, rules_of
from dispatcher.store.mailbox import Begun, Ended, Leased
from dispatcher.store.opened import Store
from workers.lease_keeper import Held, LeaseKeeper
from workers.leftovers import kill_leftovers
from workers.log_context import about, also, shown
from workers.runners import Cancelled, Control, Runner, RunResult, Signal, build_runner

log = logging.getLogger(__name__)
CLEANUP_S = 30.0  # from the time limit until the runner must have let go; then renewals are refused
# A callable cannot be killed, only asked; while it has not returned nobody else may run its agent.
UNBOUNDED_MS = 10 * 365 * 86_400_000
RETRY_S = 0.25
NOTE_BYTES = 2_000  # of what a runner printed, kept in the ledger
MAX_DECISIONS = 10
FULL_WAIT_MS = 60_000
T = TypeVar("T")


class AgentWorker:
    """Runs heartbeats of the agents of one pool in this process. Safe for threads: one call is one heartbeat."""

    def __init__(self, store: Store, config: Config, pool: str, holder: str, keeper: LeaseKeeper, ringer: Ringer, stop: Signal) -> None:
        self._store, self._config, self._pool, self._holder = store, config, pool, holder
        self._keeper, self._ringer, self._stop = keeper, ringer, stop
        self._claim_s = config.lease.claim_ms / 1000
        self._runners: dict[str, Runner] = {}
        self._runners_lock = threading.Lock()

    def heartbeat(self, agent_id: str) -> dict[str, Any]:
        """Does what is due for this agent now: at most one heartbeat. Tells what it did, for the task's result.

        Raises StoreUnavailable; then the lease runs out by itself and the due index looks again.
        """
        with about(agent=agent_id):
            return self._heartbeat(agent_id)

    def _heartbeat(self, agent_id: str) -> dict[str, Any]:
        if self._stop.is_set():
            return {"agent": agent_id, "did": "stopping"}
        rules, nonce = rules_of(self._config, agent_id), secrets.token_hex(8)
        for _ in range(MAX_DECISIONS):
            acquired = self._insist(partial(self._store.mailbox.acquire, agent_id, self._pool, self._holder, nonce), self._claim_s)
            if not isinstance(acquired, Leased):
                if acquired.status == "FOREIGN":
                    log.error(
                        "foreign doorbell agent=%s refused: it lives in pool %s, this worker serves %s",
                        agent_id,
                        acquired.detail,
                        self._pool,
                    )
                return {"agent": agent_id, "did": acquired.status.lower().replace("_", "-"), "detail": acquired.detail}
            lease, snapshot = acquired.lease, acquired.snapshot
            also(token=lease.token)
            match decide(snapshot, rules):
                case Defer(deferrals):
                    ended = self._insist(partial(self._store.mailbox.defer, lease, snapshot.seq, deferrals), self._claim_s)
                    if ended.status == "CHANGED":
                        continue  # the same nonce gets the same token, with what came meanwhile
                    self._ring(agent_id, ended)
                    why = [f"{d.kind}: {d.reason} until {d.until_ms}" for d in deferrals]
                    return {"agent": agent_id, "did": "deferred", "detail": "; ".join(why)}
                case BuryParked(batch_id, reason):
                    ended = self._insist(partial(self._store.mailbox.bury, lease, batch_id, reason, ""), self._claim_s)
                    if ended.status == "DEAD_FULL":
                        full = Deferral(f"batch:{batch_id}", snapshot.now_ms + FULL_WAIT_MS, "dead-letters-full")
                        self._insist(partial(self._store.mailbox.defer, lease, snapshot.seq, [full]), self._claim_s)
                        log.error("the dead letters are full, batch %s waits; revive or drop some", batch_id)
                        return {"agent": agent_id, "did": "deferred", "batch": batch_id, "detail": full.reason}
                    self._ring(agent_id, ended)
                    return {"agent": agent_id, "did": "dead-lettered", "batch": batch_id, "detail": reason}
                case RunParked(batch_id):
                    started = time.monotonic()
                    step = partial(self._store.mailbox.resume, lease, batch_id, self._limit_ms(agent_id))
                case target:
                    started = time.monotonic()
                    step = partial(
                        self._store.mailbox.begin, lease, target.session_key, target.intents, rules.max_batch, self._limit_ms(agent_id)
                    )
            begun = self._insist(step, self._keeper.trust_from(started) - started)
            if isinstance(begun, Begun):
                return self._run(lease, begun.batch, started)
            log.warning("begin refused: %s", begun.status)
            return {"agent": agent_id, "did": "not-begun", "detail": begun.status}
        return {"agent": agent_id, "did": "undecided"}

    def _insist(self, step: Callable[[], T], within_s: float) -> T:
        """Repeats a step whose answer may have been lost: under its nonce or token it answers the same again.

        Without that, a step that did take effect would hold the agent until its lease ends. Raises StoreUnavailable after `within_s`.
        """
        until = time.monotonic() + within_s
        while True:
            try:
                return step()
            except StoreUnavailable:
                if time.monotonic() > until or self._stop.wait(RETRY_S):
                    raise

    def _run(self, lease: Lease, batch: Batch, started: float) -> dict[str, Any]:
        agent_id = lease.agent_id
        also(batch=batch.batch_id, attempt=batch.attempt, n=len(batch.wakes), completions=shown([wake.wake_id for wake in batch.wakes]))
        policy = self._config.agent(agent_id)
        trust_ms = int((self._keeper.trust_from(started) - time.monotonic()) * 1000)
        control = Control(policy.time_limit_s, stop=self._stop, trust_ms=trust_ms)
        held = self._keeper.hold(lease, batch.batch_id, control, started)
        begun_at = time.monotonic()
        try:
            if batch.attempt > 1:
                kill_leftovers(batch.batch_id, token=lease.token)
            result = self._call_runner(lease, batch, control)
            ended = self._end(held, batch, result)
        finally:
            self._keeper.drop(held)
        self._ring(agent_id, ended)
        log.info("heartbeat %s in %.1f s (%s)", _word(result), time.monotonic() - begun_at, ended.status)
        return {
            "agent": agent_id,
            "did": _word(result),
            "batch": batch.batch_id,
            "attempt": batch.attempt,
            "n": len(batch.wakes),
            "status": ended.status,
        }

    def _call_runner(self, lease: Lease, batch: Batch, control: Control) -> RunResult:
        bounds = self._config.bounds
        request = coalesce(batch, lease.token, max_events=bounds.request_events, max_bytes=bounds.request_bytes)
        try:
            return self._runner(lease.agent_id).run(request, control)
        except Exception as error:  # a runner's bug is a failed turn of this agent, never of the worker
            log.exception("runner raised")
            return Failed(error=f"runner raised {type(error).__name__}: {error}"[:500])

    def _end(self, held: Held, batch: Batch, result: RunResult) -> Ended:
        """Writes how the batch ended, again and again while the lease is trusted. Afterwards it runs again, as the same batch."""
        lease, mailbox = held.lease, self._store.mailbox
        step: Callable[[], Ended]
        if isinstance(result, Cancelled):
            step = lambda: mailbox.park(lease, batch.batch_id, "handed-back", 0, result.reason)  # noqa: E731  # bound to this outcome
        else:
            step = self._step(lease, batch, result)
        while True:
            try:
                return step()
            except StoreUnavailable as error:
                if held.control.lost.is_set() or time.monotonic() > held.trust_ends():
                    log.error("%s; the batch runs again as its next attempt", error)
                    return Ended("UNREACHABLE")
                held.control.lost.wait(RETRY_S)

    def _step(self, lease: Lease, batch: Batch, outcome: Outcome) -> Callable[[], Ended]:
        mailbox, batch_id = self._store.mailbox, batch.batch_id
        _, intent, _ = merged(batch.wakes)
        match sequel(outcome, intent, batch.attempt, batch.failures, rules_of(self._config, lease.agent_id), random.random()):
            case Settle(kind):
                detail = outcome.model_dump(exclude={"kind"}) | {"n": len(batch.wakes), "attempt": batch.attempt}
                detail["note"] = tail_of(str(detail.get("note", "")), NOTE_BYTES)
                return lambda: mailbox.settle(lease, batch_id, "ran" if kind == "ran" else "skipped", detail)
            case Dissolve(wait_ms, all_ms, rest_ms, reason):
                return lambda: mailbox.dissolve(lease, batch_id, wait_ms, all_ms, rest_ms, reason)
            case Wait(wait_ms, reason):
                return lambda: mailbox.park(lease, batch_id, "busy", wait_ms, reason)
            case Retry(delay_ms, error):
                return lambda: mailbox.park(lease, batch_id, "failed", delay_ms, error[:500])
            case Bury(reason, error):
                return lambda: self._bury(lease, batch_id, reason, error[:500])

    def _bury(self, lease: Lease, batch_id: str, reason: str, error: str) -> Ended:
        ended = self._store.mailbox.bury(lease, batch_id, reason, error)
        if ended.status != "DEAD_FULL":
            return ended
        log.error("the dead letters are full, this batch waits; revive or drop some")
        return self._store.mailbox.park(lease, batch_id, "failed", FULL_WAIT_MS, error)

    def _runner(self, agent_id: str) -> Runner:
        with self._runners_lock:
            if agent_id not in self._runners:
                settings = self._config.agent(agent_id).runner
                if settings is None:
                    raise LookupError(f"agent {agent_id} has no runner; set runner in [defaults] or [agents.{agent_id}]")
                self._runners[agent_id] = build_runner(settings, output_bytes=self._config.bounds.runner_output_bytes)
            return self._runners[agent_id]

    def _limit_ms(self, agent_id: str) -> int:
        policy = self._config.agent(agent_id)
        if policy.runner is not None and policy.runner.type == "python":
            return UNBOUNDED_MS
        return int((policy.time_limit_s + CLEANUP_S) * 1000)

    def _ring(self, agent_id: str, ended: Ended) -> None:
        if ended.ring:
            self._ringer.ring_all([(agent_id, self._pool)])


def _word(result: RunResult) -> str:
    return "handed-back" if isinstance(result, Cancelled) else result.kind
