"""One worker process, driven by hand: heartbeats run where and when the test asks for them, with a runner that answers as told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatcher.core.models import HeartbeatRequest, Outcome, Ran
from dispatcher.store.opened import open_store
from dispatcher.store.sweeping import Sweeping
from tests.support.desk import Desk
from workers.agent_worker import AgentWorker
from workers.lease_keeper import LeaseKeeper
from workers.runners import Control, Signal
from workers.tally import Tally

TOML = """
[defaults]
window_ms = 0
min_spacing_ms = 0
flood_starts = 0
runner = { type = "command", command = ["true"] }
[agents.ops]
[agents.research]
"""


class Scripted:
    """A runner that answers as told, the last answer for ever. `during` is called in each heartbeat."""

    def __init__(self, *answers: Outcome, during: Callable[[HeartbeatRequest], object] = lambda _: None) -> None:
        self.answers, self.requests, self._during = list(answers) or [Ran()], list[HeartbeatRequest](), during

    def run(self, request: HeartbeatRequest, control: Control) -> Outcome:
        assert control.why() is None
        self.requests.append(request)
        self._during(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def ids(self) -> list[tuple[str, ...]]:
        """What each heartbeat was told of."""
        return [request.completion_ids for request in self.requests]


class Shift:
    """A worker of pool `agents` on the store of a desk, with connections of its own."""

    def __init__(self, desk: Desk, toml: str = TOML, holder: str = "h1", **runners: Scripted) -> None:
        self.desk, self.config = desk, desk.configured(toml)
        self._store = open_store(self.config, desk.url)
        self.keeper = LeaseKeeper(self._store.mailbox, 30_000, 5_000, 2_000, 400)
        self.tally = Tally(self._store.observed, "agents")
        self.worker = AgentWorker(self._store, self.config, "agents", holder, self.keeper, desk.bells, Signal(), self.tally)
        self.worker._runners.update(runners)
        self.router = desk.router(toml)
        self.sweeping = Sweeping(desk.store, ["agents"])

    def came(self, *completion_ids: str, agent_id: str = "ops", **words: Any) -> None:
        """Completions, accepted and routed."""
        for completion_id in completion_ids:
            self.desk.submit(completion_id=completion_id, session_key=f"agent:{agent_id}:main", **words)
        self.router.drain_inbox()

    def beat(self, agent_id: str = "ops") -> str:
        """One doorbell; what was done."""
        return str(self.worker.heartbeat(agent_id)["did"])

    def rung(self) -> list[str]:
        """Whom one sweep rings."""
        return [agent_id for agent_id, _ in self.sweeping.sweep(self.sweeping.slots, 100, ()).ring]

    def close(self) -> None:
        self._store.close()

    def records(self, agent_id: str = "ops") -> list[tuple[str, Any]]:
        """The agent's ledger lines: what, and its detail."""
        return [(record["what"], record["detail"]) for record in self.desk.store.ledger.records(agent_id)]
