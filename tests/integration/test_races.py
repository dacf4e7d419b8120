"""Races that other systems got wrong, each met on purpose. docs/races.md is the table of all."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.models import Busy, Failed, Outcome, Ran, Skipped
from tests.support.desk import Desk
from tests.support.gates import wait_until
from tests.support.server import Server
from tests.support.shift import TOML, Scripted, Shift

PATIENCE_S = 30


def test_what_came_after_the_doorbell_is_in_its_batch(desk: Desk) -> None:
    """What a heartbeat is about is decided under the lease, not when somebody rang; the second doorbell finds nothing."""
    runner = Scripted()
    shift = Shift(desk, ops=runner)
    shift.came("c1")
    assert desk.bells.rung == [("ops", "agents")]
    shift.came("c2", "c3")
    assert [shift.beat(), shift.beat()] == ["ran", "empty"]
    assert runner.ids() == [("c1", "c2", "c3")]


def test_a_lease_that_cannot_be_had_runs_nothing(desk: Desk, server: Server) -> None:
    """Held by somebody, or no answer in time: both mean "not me"."""
    answers: list[str] = []
    first = Shift(desk, ops=Scripted(during=lambda _: answers.append(second.beat())), holder="h1")
    never = Scripted()
    second = Shift(desk, TOML + "[lease]\nclaim_ms = 100\n[redis]\nsocket_timeout_ms = 100\n", ops=never, holder="h2")
    first.came("c1")
    assert first.beat() == "ran"
    assert answers == ["lease-held"]
    first.came("c2")
    server.freeze()
    try:
        with pytest.raises(StoreUnavailable, match="acquire agent=ops"):
            second.beat()
    finally:
        server.thaw()
    assert never.requests == []
    wait_until(lambda: first.beat() == "ran", PATIENCE_S, "c2 is served, if only when a claim that nobody heard of has lapsed")
    second.close()


def test_a_deferred_wake_comes_back_to_its_own_agent(desk: Desk) -> None:
    """Two agents wait out their spacing; the sweep finds both, and each heartbeat is told of its own completion only."""
    ops, research = Scripted(), Scripted()
    shift = Shift(desk, TOML.replace("min_spacing_ms = 0", "min_spacing_ms = 500"), ops=ops, research=research)
    runners = {"ops": ops, "research": research}
    for agent_id in runners:
        shift.came(f"{agent_id}-1", agent_id=agent_id)
        assert shift.beat(agent_id) == "ran"
        shift.came(f"{agent_id}-2", agent_id=agent_id)
        assert shift.beat(agent_id) == "deferred"
    rung: list[str] = []

    def both_are_rung() -> bool:
        rung.extend(shift.rung())
        return sorted(rung) == ["ops", "research"]

    wait_until(both_are_rung, PATIENCE_S, "both are rung")
    for agent_id, runner in runners.items():
        assert shift.beat(agent_id) == "ran"
        assert runner.ids() == [(f"{agent_id}-1",), (f"{agent_id}-2",)]
        assert {request.agent_id for request in runner.requests} == {agent_id}


def test_the_same_words_twice_are_two_completions(desk: Desk) -> None:
    """Identity is the completion id: two runs of one command that say the same are both told."""
    runner = Scripted()
    shift = Shift(desk, ops=runner)
    same: dict[str, Any] = {"command": "make test", "exit_code": 2, "output": "2 failed", "run_id": "r1"}
    shift.came("c1", "c2", **same)
    shift.came("c1", **same)
    assert shift.beat() == "ran"
    (request,) = runner.requests
    assert request.completion_ids == ("c1", "c2")
    assert [event.output for event in request.events] == ["2 failed", "2 failed"]
    assert desk.store.ledger.balance().settled == 2


def test_arrivals_that_never_stop_hold_nobody_up(desk: Desk) -> None:
    """In every heartbeat more comes than it took: the oldest goes first, and each heartbeat ends."""
    sent: list[str] = []

    def more(_: object) -> None:
        fresh = [f"c{len(sent) + n:03d}" for n in range(4)]
        sent.extend(fresh)
        shift.came(*fresh)

    runner = Scripted(during=more)
    shift = Shift(desk, TOML.replace("window_ms = 0", "window_ms = 0\nmax_batch = 3"), ops=runner)
    more(None)
    for _ in range(10):
        assert shift.beat() == "ran"
    assert [i for ids in runner.ids() for i in ids] == sent[:30]
    assert desk.store.ledger.balance().settled == 30


def test_a_heartbeat_that_starts_what_wakes_it_again_is_stopped_by_the_flood_guard(desk: Desk) -> None:
    """heartbeat → exec → completion → heartbeat …: five starts a minute, then it waits, visibly, and nothing is lost."""
    runner = Scripted(during=lambda _: shift.came(f"c{len(runner.requests)}"))
    shift = Shift(desk, TOML.replace("flood_starts = 0", "flood_starts = 5"), ops=runner)
    shift.came("c0")
    did = [shift.beat() for _ in range(6)]
    assert did == ["ran"] * 5 + ["deferred"]
    assert runner.ids() == [(f"c{n}",) for n in range(5)]
    what, detail = shift.records()[-1]
    assert (what, detail[0][0], detail[0][2]) == ("deferred", "event", "flood")
    agent = desk.store.ledger.agent("ops")
    assert agent
    assert agent.pending == 1
    assert agent.deferrals["event"][1] == "flood"


@pytest.mark.parametrize(
    ("outcome", "what", "told"),
    [
        (Skipped(reason="nothing-to-do"), "skipped", {"reason": "nothing-to-do"}),
        (Busy(reason="channel-not-ready"), "busy", {"reason": "channel-not-ready"}),
        (Failed(error="boom"), "failed", {"error": "boom"}),
        (Failed(error="boom", final=True), "dead-lettered", {"reason": "refused-by-runner", "n": 1}),
        (Ran(acted=False), "ran", {"acted": False}),
    ],
)
def test_no_outcome_goes_without_a_receipt(desk: Desk, outcome: Outcome, what: str, told: dict[str, Any]) -> None:
    """A skip says why it was one, like every other end."""
    shift = Shift(desk, ops=Scripted(outcome))
    shift.came("c1")
    shift.beat()
    (begun, _), (said, detail) = shift.records()
    assert (begun, said) == ("begun", what)
    assert detail.items() >= told.items()
