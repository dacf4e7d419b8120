"""A step takes effect and its answer is lost: the worker repeats it, and the heartbeat goes on as if nothing had been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from dispatcher.core.models import Busy, Fate, Ran
from dispatcher.core.models import Failed as RunFailed
from dispatcher.store.mailbox import Mailbox
from dispatcher.store.scripts import Call, Caller, Reply
from tests.support.desk import Desk
from tests.support.gates import wait_until
from tests.support.server import Server
from tests.support.shift import Scripted
from workers.agent_worker import AgentWorker
from workers.lease_keeper import LeaseKeeper
from workers.runners import Signal
from workers.tally import Tally

TOML = """
[defaults]
window_ms = 0
min_spacing_ms = 0
retry_base_ms = 1
max_failures = 2
runner = { type = "command", command = ["true"] }
[agents.ops]
"""


class LosingCaller(Caller):
    """The real caller; the answer to the next call of `loses` never arrives, twice in a row."""

    loses = ""
    times = 0

    def call_all(self, calls: list[Call], *, apart: bool = False) -> list[Reply]:
        replies = super().call_all(calls, apart=apart)
        if self.times and calls[0].script == self.loses:
            self.times -= 1
            raise redis.ConnectionError("connection closed while the answer was on its way")
        return replies


@pytest.mark.parametrize(
    ("step", "answers", "fate", "runs"),
    [
        ("acquire", [Ran()], Fate.SETTLED, 1),
        ("begin", [Ran()], Fate.SETTLED, 1),
        ("settle", [Ran()], Fate.SETTLED, 1),
        ("dissolve", [Busy(retry_after_ms=1), Ran()], Fate.SETTLED, 2),
        ("park", [RunFailed(error="boom"), Ran()], Fate.SETTLED, 2),
        ("resume", [RunFailed(error="boom"), Ran()], Fate.SETTLED, 2),
        ("bury", [RunFailed(error="boom", final=True)], Fate.DEAD, 1),
    ],
)
def test_an_answer_that_is_lost(
    redis_client: redis.Redis, server: Server, tmp_path: Path, step: str, answers: list[Any], fate: Fate, runs: int
) -> None:
    """One token, one batch, no attempt more than the runner asked for."""
    assert redis_client.dbsize() == 0
    desk = Desk(tmp_path, server.url)
    config = desk.configured(TOML)
    caller = LosingCaller(desk.store.client)
    store = replace(desk.store, caller=caller, mailbox=Mailbox(caller, desk.store.keys, desk.store.limits))
    keeper, runner = LeaseKeeper(store.mailbox, 30_000, 5_000, 2_000, 400), Scripted(*answers)
    worker = AgentWorker(store, config, "agents", "h1", keeper, desk.bells, Signal(), Tally(store.observed, "agents"))
    worker._runners["ops"] = runner
    completion_id = desk.submit(session_key="agent:ops:main")
    desk.router(TOML).drain_inbox()
    caller.loses, caller.times = step, 2

    def ended() -> bool:
        worker.heartbeat("ops")
        return desk.fate(completion_id)[0] == fate

    wait_until(ended, 60, f"{completion_id} is {fate}")
    assert caller.times == 0, "the fault was not met"
    assert len(runner.requests) == runs
    busy = isinstance(answers[0], Busy)
    assert [request.attempt for request in runner.requests] == ([1, 1] if busy else list(range(1, runs + 1)))
    assert len({request.batch_id for request in runner.requests}) == (2 if busy else 1)
    assert store.ledger.balance().balance == 0
    agent = store.ledger.agent("ops")
    assert agent
    assert agent.holder is None
    store.close()
