"""Pause, drain and resume under real workers."""

from __future__ import annotations

from dispatcher.core.rules import DRAINING, PAUSED
from dispatcher.holding import Bound, Holding
from tests.support.desk import Bells
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway

BY = "ann@vm"


def acts(gateway: Gateway, selector: str = "ops") -> tuple[Holding, Bound]:
    """Nobody hears these bells, as if every doorbell were lost."""
    holding = Holding(gateway.store, gateway.config, Bells())
    return holding, holding.bound(selector)


def is_deferred(gateway: Gateway, agent_id: str = "ops") -> None:
    """Waits until a worker looked, and was told to wait."""
    wait_until(lambda: "deferred" in gateway.records(agent_id), PATIENCE_S, f"{agent_id} is deferred")


def start(gateway: Gateway) -> None:
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()


def test_a_paused_agent_keeps_everything_and_resumes_with_one_heartbeat(gateway: Gateway) -> None:
    """Others run on meanwhile. Resuming needs no doorbell: the due index has it."""
    gateway.configure(agents={"ops": {}, "build": {}})
    start(gateway)
    holding, ops = acts(gateway)
    holding.hold(ops, PAUSED, "deploy", BY)
    gateway.submit("c1", "c2", "c3")
    gateway.submit("b1", session="agent:build:main")
    gateway.started(1, "build")
    is_deferred(gateway)
    assert gateway.beats("ops") == []
    holding.resume(ops, BY)
    gateway.quiet(settled=4)
    assert [beat.ids for beat in gateway.beats("ops")] == [("c1", "c2", "c3")]


def test_a_pool_is_paused_and_each_of_its_agents_runs_again(gateway: Gateway) -> None:
    gateway.configure(agents={"ops": {}, "build": {}})
    start(gateway)
    holding, pool = acts(gateway, "pool:agents")
    holding.hold(pool, PAUSED, "deploy", BY)
    for agent in ("ops", "build"):
        gateway.submit(f"{agent}-1", session=f"agent:{agent}:main")
        is_deferred(gateway, agent)
    assert gateway.beats() == []
    holding.resume(pool, BY)
    gateway.quiet(settled=2)
    assert sorted(beat.agent_id for beat in gateway.beats()) == ["build", "ops"]


def test_a_pause_with_an_end_ends_by_itself(gateway: Gateway) -> None:
    """Nobody resumes it. Its end lies behind the first look of a worker, however slow the machine is."""
    start(gateway)
    holding, ops = acts(gateway)
    hold = holding.hold(ops, PAUSED, "deploy", BY, 4_000)
    gateway.submit("c1")
    gateway.quiet(settled=1)
    began = next(record for record in gateway.store.ledger.records("ops") if record["what"] == "begun")
    assert began["at"] >= hold.until_ms
    assert holding.standing() == []


def test_draining_lets_the_running_heartbeat_finish_and_sets_the_rest_aside(gateway: Gateway) -> None:
    """What waited and what came; after the resume the next one runs."""
    gateway.plan(gate="ops")
    start(gateway)
    gateway.submit("runs")
    gateway.started(1)
    gateway.submit("waits")
    holding, ops = acts(gateway)
    holding.hold(ops, DRAINING, "moves", BY)
    gateway.open("ops")
    gateway.quiet(settled=1, dead=1)
    gateway.submit("comes")
    gateway.quiet(settled=1, dead=2)
    assert {letter.completion_id: letter.reason for letter in gateway.store.ledger.dead_letters()} == dict.fromkeys(
        ("waits", "comes"), "drained"
    )
    holding.resume(ops, BY)
    gateway.submit("later")
    gateway.quiet(settled=2, dead=2)
    assert [beat.ids for beat in gateway.beats()] == [("runs",), ("later",)]
