"""Multi-step vectors: the real scripts and the real policy on a real server, under a virtual clock that starts at `BASE_MS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dispatcher.core import session_key
from dispatcher.core.coalesce import coalesce
from dispatcher.core.models import Address, Batch, Busy, Failed, HeartbeatRequest, Intent, Lease, Outcome, Ran, Skipped, Source, Wake
from dispatcher.core.policy import BuryParked, BuryTarget, Defer, RunParked, SetTick, decide
from dispatcher.core.rules import Rules
from dispatcher.core.sequel import Bury, Dissolve, Retry, Settle, Wait, sequel
from dispatcher.store.inbox import Inbox, Submission
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.mailbox import Begun, Deposit, Leased, Mailbox
from dispatcher.store.scripts import Caller
from tests.conformance.expectations import Run, checks
from tests.conformance.vector import Unsupported, Vector, compare
from tests.support.server import Server

BASE_MS = 1_700_000_000_000
POOL = "agents"
BUSY = frozenset({"requests-in-flight", "active-run", "cron-in-progress", "preempted", "channel-not-ready"})
HANGS = frozenset({"hangs", "hangs-then-ok", "hang-until-finished"})
# A runner that hangs keeps its lease: renewing it would add nothing to what a vector says.
LIMITS = replace(StoreLimits(), ttl_ms=10**10, claim_ms=10**10)


@contextmanager
def opened() -> Iterator[Callable[[Vector], list[str]]]:
    """A function from vector to the expectations that do not hold; one server for all of them, empty for each."""
    with Server(appendfsync="no") as server:
        client = server.client()

        def run(vector: Vector) -> list[str]:
            client.flushall()
            gateway = Gateway(vector.given, Caller(client))
            for step in vector.when:
                gateway.step(step)
            gateway.process()
            return compare(vector.then, checks(gateway.runs, gateway.retried, gateway.next_allowed), gateway.runs)

        yield run


class Gateway:
    """Agents, their mailboxes, and a runner that answers as the vector says."""

    def __init__(self, given: Mapping[str, Any], caller: Caller) -> None:
        unknown = set(given) - {"agents", "replies"}
        if unknown:
            raise Unsupported(f"given {', '.join(sorted(unknown))}")
        self._keys, self._client = Keys("wake", 64), caller.client
        self._inbox, self._mailbox = Inbox(caller, self._keys, LIMITS), Mailbox(caller, self._keys, LIMITS)
        self._inbox.prepare()
        self._rules = Rules() if given.get("agents") else Rules(min_spacing_ms=0, flood_starts=0)
        self._replies = given.get("replies", [{"status": "ran", "duration": 1}])
        self._answered = 0
        self._agents: list[str] = []
        self._hanging: dict[str, tuple[Run, Lease, Batch]] = {}
        self._waited = False
        self.runs: list[Run] = []
        self.retried = False
        self.now = 0

    @property
    def next_allowed(self) -> int | None:
        """When the first agent is looked at next."""
        due = [at for agent_id in self._agents if (at := self._due(agent_id)) is not None]
        return min(due, default=None)

    def step(self, step: Mapping[str, Any]) -> None:
        match step["op"]:
            case "wake":
                self._advance(step["at"])
                self._wake(step)
            case "tick":
                self._advance(step["at"])
                agent = step.get("agent", "main")
                self._wake({"source": "interval", "intent": "scheduled", "reason": "interval", "window": 0, "agent": agent})
            case "advance_to":
                self._advance(step["at"])
                self.process()
            case "finish":
                self._advance(step.get("at", self.now))
                self._finish(step["reason"])
                self.process()
            case op:
                raise Unsupported(f"op {op}")

    def process(self) -> None:
        """Everything that is due now, the longest due first."""
        changed = True
        while changed:
            ready = [
                (at, place) for place, agent_id in enumerate(self._agents) if (at := self._due(agent_id)) is not None and at <= self.now
            ]
            looked = [self._look(self._agents[place]) for _, place in sorted(ready)]  # every one of them, whatever the first answered
            changed = any(looked)

    def _advance(self, at: int) -> None:
        # What is due at one instant is taken together, so a wake at `at` still joins what falls due then.
        while (first := self.next_allowed) is not None and first < at and (first > self.now or self._can_act()):
            self.now = max(self.now, first)
            self.process()
        self.now = max(self.now, at)

    def _can_act(self) -> bool:
        return any((at := self._due(agent_id)) is not None and at <= self.now for agent_id in self._agents)

    def _due(self, agent_id: str) -> int | None:
        if agent_id in self._hanging:
            return None
        score = self._client.zscore(self._keys.agent(POOL, agent_id)["due"], agent_id)
        return None if score is None else int(score) - BASE_MS

    def _wake(self, step: Mapping[str, Any]) -> None:
        parsed = session_key.parse(step["session"]) if step.get("session") else None
        agent_id = parsed.agent_id if parsed else step["agent"]
        if agent_id not in self._agents:
            self._agents.append(agent_id)
        key = parsed.key if parsed else session_key.main_session(agent_id, "main")
        intent, wake_id = Intent(step["intent"]), f"w{self._client.incr('wakes-made')}"
        wake = Wake(
            wake_id=wake_id, source=Source(step["source"]), intent=intent, reason=step["reason"], text="", accepted_at_ms=BASE_MS + self.now
        )
        receipt, _ = self._inbox.submit(Submission(wake_id, "digest", "{}"))
        self._mailbox.now_ms = BASE_MS + self.now
        address = Address(agent_id=agent_id, session_key=key)
        self._mailbox.deposit_all([Deposit(address, POOL, POOL, wake, intent, step.get("window", 0), "", receipt.entry_id, 0, 0)])

    def _look(self, agent_id: str) -> bool:
        """One doorbell. Whether anything changed."""
        self._mailbox.now_ms = BASE_MS + self.now
        acquired = self._mailbox.acquire(agent_id, POOL, "holder", f"{agent_id}-{len(self.runs)}-{self.now}")
        if not isinstance(acquired, Leased):
            return False
        lease = acquired.lease
        match decide(acquired.snapshot, self._rules):
            case Defer(deferrals):
                self._waited = self._waited or bool(deferrals)
                self._mailbox.defer(lease, acquired.snapshot.seq, deferrals)
                return bool(deferrals)
            case BuryParked(batch_id, reason):
                self._mailbox.bury(lease, batch_id, reason, "")
                return True
            case RunParked(batch_id):
                begun = self._mailbox.resume(lease, batch_id, 10**10)
            case BuryTarget() | SetTick() as decision:
                raise AssertionError(f"no vector pauses or has a cadence of its own: {decision}")
            case target:
                begun = self._mailbox.begin(lease, target.session_key, target.intents, self._rules.max_batch, 10**10)
        if not isinstance(begun, Begun):
            raise AssertionError(f"begin: {begun}")
        self._run(lease, begun.batch, coalesce(begun.batch, lease.token))
        return True

    def _run(self, lease: Lease, batch: Batch, request: HeartbeatRequest) -> None:
        run = Run(self.now, lease.agent_id, batch.address.session_key, request.reason, request.intent, request.source)
        self.runs.append(run)
        self.retried = self.retried or self._waited
        reply = self._reply(run)
        if isinstance(reply, str):
            if reply not in HANGS:
                raise Unsupported(f"reply {reply!r}")
            self._hanging[lease.agent_id] = (run, lease, batch)
        else:
            self._end(run, lease, batch, reply)

    def _reply(self, run: Run) -> Any:
        if isinstance(self._replies, dict):
            key = run.reason if run.reason in self._replies else run.agent
            if key not in self._replies:
                raise Unsupported(f"no reply for {run.reason} of {run.agent}")
            return self._replies[key]
        reply = self._replies[min(self._answered, len(self._replies) - 1)]
        self._answered += 1
        return reply

    def _finish(self, reason: str) -> None:
        for agent_id, (run, lease, batch) in list(self._hanging.items()):
            if run.reason == reason:
                del self._hanging[agent_id]
                if isinstance(self._replies, dict):
                    self._replies = {**self._replies, run.reason: {"status": "ran"}}
                self._end(run, lease, batch, {"status": "ran"})
                return
        raise Unsupported(f"finish {reason}: nothing of that reason runs")

    def _end(self, run: Run, lease: Lease, batch: Batch, reply: Mapping[str, Any]) -> None:
        run.ended = self.now
        self._mailbox.now_ms = BASE_MS + self.now
        step = sequel(_outcome(reply), run.intent, batch.attempt, batch.failures, self._rules, 0.5)
        match step:
            case Settle(kind):
                self._mailbox.settle(lease, batch.batch_id, "ran" if kind == "ran" else "skipped", {})
            case Dissolve(wait_ms, all_ms, rest_ms, reason):
                self._waited = True
                self._mailbox.dissolve(lease, batch.batch_id, wait_ms, all_ms, rest_ms, reason)
            case Wait(wait_ms, reason):
                self._waited = True
                self._mailbox.park(lease, batch.batch_id, "busy", wait_ms, reason)
            case Retry(delay_ms, error):
                self._waited = True
                self._mailbox.park(lease, batch.batch_id, "failed", delay_ms, error)
            case Bury(reason, error):
                self._mailbox.bury(lease, batch.batch_id, reason, error)


def _outcome(reply: Mapping[str, Any]) -> Outcome:
    if reply.get("throws"):
        return Failed(error="thrown")
    match reply.get("status"):
        case "ran":
            return Ran()
        case "skipped" if reply.get("reason") in BUSY:
            return Busy(reason=reply["reason"], retry_after_ms=reply.get("retry_after"))
        case "skipped":
            return Skipped(reason=str(reply.get("reason")))
        case "failed":
            # The turn took place and its tool failed: there is nothing to run again.
            return Failed(error=str(reply.get("reason")), final=True)
        case status:
            raise Unsupported(f"reply {status!r}")
