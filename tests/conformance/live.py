"""Multi-step vectors: the engine of `wake simulate`, so the real steps on a real server, under a virtual clock from `BASE_MS` on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispatcher.config import Config, parsed
from dispatcher.core import session_key
from dispatcher.core.coalesce import coalesce
from dispatcher.core.models import Address, Busy, Failed, Intent, Outcome, Ran, Skipped, Source, Wake
from dispatcher.heartbeat import Started
from dispatcher.simulate.engine import Engine, Turn
from dispatcher.simulate.world import private_server, private_store, simulated
from dispatcher.store.direct import DirectCaller
from dispatcher.store.inbox import Submission
from dispatcher.store.mailbox import Deposit
from dispatcher.store.opened import Store
from tests.conformance.expectations import Run, checks
from tests.conformance.vector import Unsupported, Vector, compare

BASE_MS = 1_700_000_000_000
POOL = "agents"
BUSY = frozenset({"requests-in-flight", "active-run", "cron-in-progress", "preempted", "channel-not-ready"})
HANGS = frozenset({"hangs", "hangs-then-ok", "hang-until-finished"})
FREE = {"min_spacing_ms": 0, "flood_starts": 0}
LONG_S = 86_400.0  # a runner that hangs does so for longer than a vector lasts


@contextmanager
def opened() -> Iterator[Callable[[Vector], list[str]]]:
    """A function from vector to the expectations that do not hold; one server for all of them, empty for each."""
    with private_server() as url:

        def run(vector: Vector) -> list[str]:
            config = _config(vector.given)
            with private_store(config, url, [POOL]) as (store, caller):
                gateway = Gateway(vector.given, store, caller, config)
                for step in vector.when:
                    gateway.step(step)
                gateway.engine.look()
                return compare(vector.then, checks(gateway.runs, gateway.retried, gateway.next_allowed), gateway.runs)

        yield run


def _config(given: Mapping[str, Any]) -> Config:
    """Vectors without agents run with spacing and flood guard off."""
    defaults = {"time_limit_s": LONG_S} | ({} if given.get("agents") else FREE)
    return simulated(parsed({"defaults": defaults}, Path("vector")), everybody=True)


class Gateway:
    """Agents, their mailboxes, and a runner that answers as the vector says."""

    def __init__(self, given: Mapping[str, Any], store: Store, caller: DirectCaller, config: Config) -> None:
        unknown = set(given) - {"agents", "replies"}
        if unknown:
            raise Unsupported(f"given {', '.join(sorted(unknown))}")
        self._store = store
        self._replies = given.get("replies", [{"status": "ran", "duration": 1}])
        self._answered = self._wakes = 0
        self._agents: list[str] = []
        self._hanging: dict[str, Run] = {}
        self.runs: list[Run] = []
        self.retried = False
        self.engine = Engine(store, caller, config, [POOL], self._turn, BASE_MS)

    @property
    def now(self) -> int:
        return self.engine.now_ms - BASE_MS

    @property
    def next_allowed(self) -> int | None:
        """When the first agent is looked at next."""
        keys = [(self._store.keys.agent(POOL, agent_id)["due"], agent_id) for agent_id in self._agents if agent_id not in self._hanging]
        due = [score for key, agent_id in keys if (score := self._store.client.zscore(key, agent_id)) is not None]
        return min((int(score) - BASE_MS for score in due), default=None)

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
                self.engine.look()
            case "finish":
                self._advance(step.get("at", self.now))
                self._finish(step["reason"])
                self.engine.look()
            case op:
                raise Unsupported(f"op {op}")

    def _advance(self, at: int) -> None:
        # What is due at one instant is taken together, so a wake at `at` still joins what falls due then.
        if at > self.now:
            self.engine.look()
            self.engine.run(BASE_MS + at - 1)
            self.engine.stand_at(BASE_MS + at)

    def _wake(self, step: Mapping[str, Any]) -> None:
        parsed = session_key.parse(step["session"]) if step.get("session") else None
        agent_id = parsed.agent_id if parsed else step["agent"]
        if agent_id not in self._agents:
            self._agents.append(agent_id)
        key = parsed.key if parsed else session_key.main_session(agent_id, "main")
        self._wakes += 1
        intent, wake_id = Intent(step["intent"]), f"w{self._wakes}"
        wake = Wake(
            wake_id=wake_id, source=Source(step["source"]), intent=intent, reason=step["reason"], text="", accepted_at_ms=self.engine.now_ms
        )
        receipt, _ = self._store.inbox.submit(Submission(wake_id, "digest", "{}"))
        address = Address(agent_id=agent_id, session_key=key)
        deposit = Deposit(address, POOL, POOL, wake, intent, step.get("window", 0), "", receipt.entry_id, 0, 0)
        for reply in self._store.mailbox.deposit_all([deposit]):
            if reply.rest[0] == 1:
                self.engine.ring_all([(agent_id, POOL)])

    def _turn(self, started: Started) -> Turn:
        request = coalesce(started.batch, started.lease.token)
        run = Run(self.now, request.agent_id, request.session_key, request.reason, request.intent, request.source)
        self.runs.append(run)
        self.retried = self.retried or self._waited
        reply = self._reply(run)
        if isinstance(reply, str):
            if reply not in HANGS:
                raise Unsupported(f"reply {reply!r}")
            self._hanging[run.agent] = run
            return Turn(None, Ran())
        run.ended = self.now
        return Turn(0, _outcome(reply))

    @property
    def _waited(self) -> bool:
        """Whether anything was deferred or had to be run again before."""
        return bool(self.engine.history.delays) or any(beat.word in ("busy", "failed") for beat in self.engine.history.beats)

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
        for agent_id, run in self._hanging.items():
            if run.reason == reason:
                del self._hanging[agent_id]
                if isinstance(self._replies, dict):
                    self._replies = {**self._replies, run.reason: {"status": "ran"}}
                run.ended = self.now
                self.engine.end(self.engine.running[agent_id], Ran())
                return
        raise Unsupported(f"finish {reason}: nothing of that reason runs")


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
