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
from dispatcher.core import observation
from dispatcher.core.coalesce import coalesce
from dispatcher.core.errors import ConfigError, StoreUnavailable
from dispatcher.core.metric_table import DEFERRALS, FOREIGN_DOORBELLS, STALE_TOKENS
from dispatcher.core.models import Batch, Failed, HeartbeatRequest, Lease
from dispatcher.heartbeat import Heartbeats, NotStarted, Started, describe
from dispatcher.routing import Ringer
from dispatcher.store.mailbox import Ended
from dispatcher.store.opened import Store
from workers.lease_keeper import Held, LeaseKeeper
from workers.leftovers import kill_leftovers
from workers.log_context import about, also, shown
from workers.precheck import Precheck
from workers.runners import Cancelled, Control, Runner, RunResult, Signal, Why, build_runner
from workers.tally import Tally
from workers.tracing import heartbeat_span

log = logging.getLogger(__name__)
CLEANUP_S = 30.0  # from the time limit until the runner must have let go; then renewals are refused
# A callable cannot be killed, only asked; while it has not returned nobody else may run its agent.
UNBOUNDED_MS = 10 * 365 * 86_400_000
RETRY_S = 0.25
T = TypeVar("T")
Did = dict[str, Any]


class AgentWorker:
    """Runs heartbeats of the agents of one pool in this process. Safe for threads: one call is one heartbeat."""

    def __init__(
        self, store: Store, config: Config, pool: str, holder: str, keeper: LeaseKeeper, ringer: Ringer, stop: Signal, tally: Tally
    ) -> None:
        self._store, self._config, self._pool = store, config, pool
        self._keeper, self._ringer, self._stop, self._tally = keeper, ringer, stop, tally
        trust_s = keeper.trust_from(0.0)
        self._beats = Heartbeats(store, config, pool, holder, self._insist, self._limit_ms, trust_s)
        self._runners: dict[str, Runner] = {}
        self._prechecks: dict[str, Precheck | None] = {}
        self._lock = threading.Lock()

    def heartbeat(self, agent_id: str) -> Did:
        """Does what is due for this agent now: at most one heartbeat. Tells what it did, for the task's result.

        Raises StoreUnavailable; then the lease runs out by itself and the due index looks again.
        """
        with about(agent=agent_id):
            if self._stop.is_set():
                return {"agent": agent_id, "did": "stopping"}
            done = self._beats.begin(agent_id, secrets.token_hex(8), lambda lease: also(token=lease.token))
            if isinstance(done, Started):
                return self._run(done)
            if done.did == "foreign":
                log.error("foreign doorbell agent=%s refused: it lives in pool %s, we serve %s", agent_id, done.detail, self._pool)
            self._note(done)
            self._ring(agent_id, done)
            return describe(agent_id, done)

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

    def _run(self, started: Started) -> Did:
        lease, batch = started.lease, started.batch
        agent_id = lease.agent_id
        also(batch=batch.batch_id, attempt=batch.attempt, n=len(batch.wakes), completions=shown([wake.wake_id for wake in batch.wakes]))
        trust_ms = int((self._keeper.trust_from(started.asked_at) - time.monotonic()) * 1000)
        control = Control(self._config.agent(agent_id).time_limit_s, stop=self._stop, trust_ms=trust_ms)
        held = self._keeper.hold(lease, batch.batch_id, control, started.asked_at, capped=started.capped)
        begun_at = time.monotonic()
        accepted = [wake.accepted_at_ms for wake in batch.wakes]
        if batch.attempt == 1:
            self._tally.add(observation.begun(accepted, started.at_ms))
        try:
            if batch.attempt > 1:
                kill_leftovers(batch.batch_id, token=lease.token)
            result = self._call_runner(lease, batch, control)
            ended = self._end(held, batch, result)
        finally:
            self._keeper.drop(held)
            if started.capped:
                self._leave(lease)
        self._ring(agent_id, ended)
        if ended.status == "SETTLED":
            self._tally.add(observation.settled(accepted, started.at_ms + (time.monotonic() - started.asked_at) * 1000))
        elif ended.status == "STALE_TOKEN":
            self._tally.count(STALE_TOKENS)
        log.info("heartbeat %s in %.1f s (%s)", result.kind, time.monotonic() - begun_at, ended.status)
        did = {"agent": agent_id, "did": result.kind, "batch": batch.batch_id, "attempt": batch.attempt, "n": len(batch.wakes)}
        return did | {"status": ended.status}

    def _note(self, done: NotStarted) -> None:
        for reason in {deferral.reason for deferral in done.deferrals}:
            self._tally.count(DEFERRALS, reason)
        if done.did == "foreign":
            self._tally.count(FOREIGN_DOORBELLS)

    def _call_runner(self, lease: Lease, batch: Batch, control: Control) -> RunResult:
        bounds = self._config.bounds
        bare = coalesce(batch, lease.token, max_events=bounds.request_events, max_bytes=bounds.request_bytes)
        with heartbeat_span(bare, batch) as (request, ended):
            result = self._asked(lease, request, control)
            ended(result)
            return result

    def _asked(self, lease: Lease, request: HeartbeatRequest, control: Control) -> RunResult:
        try:
            precheck = self._precheck(lease.agent_id)
            if precheck is not None and (answer := precheck.ask(request, control)) is not None:
                return answer
            return self._runner(lease.agent_id).run(request, control)
        except ConfigError as error:  # no runner, or one whose secret cannot be read: nothing was run
            log.error("%s", error)
            return Failed(error=str(error)[:500])
        except Exception as error:  # a runner's bug is a failed turn of this agent, never of the worker
            log.exception("runner raised")
            return Failed(error=f"runner raised {type(error).__name__}: {error}"[:500])

    def _end(self, held: Held, batch: Batch, result: RunResult) -> Ended:
        """Writes how the batch ended, again and again while the lease is trusted. Afterwards it runs again, as the same batch."""
        lease, mailbox = held.lease, self._store.mailbox
        step: Callable[[], Ended]
        if isinstance(result, Cancelled) and result.reason == Why.CANCEL:
            step = self._beats.cancelling(lease, batch.batch_id, to_retry=held.control.to_retry)
        elif isinstance(result, Cancelled):
            step = partial(mailbox.park, lease, batch.batch_id, "handed-back", 0, result.reason)
        else:
            step = self._beats.ending(lease, batch, result, random.random())
        while True:
            try:
                return step()
            except StoreUnavailable as error:
                if held.control.lost.is_set() or time.monotonic() > held.trust_ends():
                    log.error("%s; the batch runs again as its next attempt", error)
                    return Ended("UNREACHABLE")
                held.control.lost.wait(RETRY_S)

    def _leave(self, lease: Lease) -> None:
        try:
            self._store.caps.leave(lease.agent_id, lease.pool)
        except StoreUnavailable as error:
            log.warning("%s; the place ends by itself", error)

    def _runner(self, agent_id: str) -> Runner:
        with self._lock:
            if agent_id not in self._runners:
                settings = self._config.agent(agent_id).runner
                if settings is None:
                    raise ConfigError([f"agent {agent_id} has no runner; set runner in [defaults] or [agents.{agent_id}]"])
                self._runners[agent_id] = build_runner(
                    settings, output_bytes=self._config.bounds.runner_output_bytes, withheld=self._config.secret_variables()
                )
            return self._runners[agent_id]

    def _precheck(self, agent_id: str) -> Precheck | None:
        with self._lock:
            if agent_id not in self._prechecks:
                policy = self._config.agent(agent_id)
                withheld = self._config.secret_variables()
                self._prechecks[agent_id] = Precheck(policy.precheck, policy.precheck_limit_s, withheld) if policy.precheck else None
            return self._prechecks[agent_id]

    def _limit_ms(self, agent_id: str) -> int:
        policy = self._config.agent(agent_id)
        if "python" in (policy.runner and policy.runner.type, policy.precheck and policy.precheck.type):
            return UNBOUNDED_MS
        return int((policy.time_limit_s + (policy.precheck_limit_s if policy.precheck else 0) + CLEANUP_S) * 1000)

    def _ring(self, agent_id: str, ended: Ended | NotStarted) -> None:
        if ended.ring:
            self._ringer.ring_all([(agent_id, self._pool)])
