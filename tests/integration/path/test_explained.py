"""From what real processes do to the words of `wake explain`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection

import pytest

from dispatcher.explaining import AgentExplained, Explainer
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.sources import ROOT

HOUR_MS = 3_600_000
AGENTS = {
    "spaced": {"min_spacing_ms": HOUR_MS},
    "flooded": {"flood_starts": 1, "flood_window_ms": HOUR_MS},
    "spent": {"budget_per_day": 1},
    "quiet": {"active_hours": {"start": "00:00", "end": "00:00"}},
    "failing": {"retry_base_ms": HOUR_MS, "retry_max_ms": HOUR_MS},
    "patient": {"window_ms": HOUR_MS},
    "occupied": {},
    "long": {},
}
CAUSES = {
    "spaced": ("min-spacing", "less than 1 h since the start of its last heartbeat"),
    "flooded": ("flood", "heartbeats started within 1 h: 1 or more"),
    "spent": ("budget", "its budget is spent: 1 in 24 hours"),
    "quiet": ("quiet-hours", "outside its active hours, 00:00-00:00 UTC"),
    "failing": ("retry", "failures: 1 of 5"),
    "patient": ("window", "it waits for company"),
    "occupied": ("busy", "its session agent:occupied:main is busy: requests-in-flight"),
    "long": ("running", "attempt 1, completions: 1, on worker.agents."),
}
# A command that reports the end of another one, for the session that it runs for.
AGAIN = 'exec "$0" -m dispatcher.cli submit --session-key "$WAKE_SESSION_KEY" --exit-code 1'

AGAIN_HERE = """
from dispatcher import exec_completed


def turn(request):
    exec_completed.delay(session_key=request.session_key, exit_code=1)
"""


def explained(gateway: Gateway, agent_id: str) -> AgentExplained:
    return Explainer(gateway.store, gateway.config).agent(agent_id)


def until(gateway: Gateway, agent_id: str, cause: str) -> AgentExplained:
    """The explanation, once it names this cause."""
    found: list[AgentExplained] = []

    def named() -> bool:
        found[:] = [explained(gateway, agent_id)]
        return found[0].why.cause == cause

    try:
        wait_until(named, PATIENCE_S, f"{agent_id}: {cause}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {found[0].why}") from None
    return found[0]


def settled(gateway: Gateway, ids: Collection[str]) -> Callable[[], bool]:
    return lambda: all((found := gateway.store.ledger.where(i)) is not None and found.fate == "settled" for i in ids)


def test_what_the_policy_says_of_live_agents(gateway: Gateway) -> None:
    """One agent for each cause, side by side."""
    gateway.configure(agents=AGENTS)
    gateway.plan("failing", exit=1)
    gateway.plan("occupied", exit=75)
    gateway.plan("long", gate="long")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    ran_before = ("spaced", "flooded", "spent")
    for agent in ran_before:
        gateway.submit(f"{agent}-0", session=f"agent:{agent}:main")
    wait_until(settled(gateway, [f"{agent}-0" for agent in ran_before]), PATIENCE_S, "the first heartbeats")
    for agent in AGENTS:
        gateway.submit(f"{agent}-1", session=f"agent:{agent}:main")
    for agent, (cause, words) in CAUSES.items():
        found = until(gateway, agent, cause)
        assert words in found.why.says
        assert (found.why.waiting, found.why.also) == (0 if agent == "long" else 1, ())
    told = explained(gateway, "spaced").decisions
    assert [line.what for line in told] == ["deferred", "ran", "begun"]
    assert told[0].says.startswith("deferred: min-spacing for 59 min")
    gateway.open("long")
    until(gateway, "long", "nothing-waiting")


def test_a_cap(gateway: Gateway) -> None:
    gateway.configure(agents={"first": {}, "second": {}}, pools={"agents": {"max_running": 1}})
    gateway.plan("first", gate="first")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1", session="agent:first:main")
    gateway.started(1)
    gateway.submit("c2", session="agent:second:main")
    assert until(gateway, "second", "cap").why.says == "as many heartbeats run as there may: 1 in pool agents"
    gateway.open("first")
    gateway.quiet(settled=2)


@pytest.mark.slow
def test_nobody_there_and_then_somebody_who_dies(gateway: Gateway) -> None:
    """No router, no worker, a heartbeat, and a worker that was killed in the middle of it."""
    gateway.configure(lease={"early_reclaim_ms": 60_000})
    gateway.plan(gate="ops")
    gateway.submit("c1")
    assert until(gateway, "ops", "no-router").why.waiting == 0
    gateway.start_router()
    assert until(gateway, "ops", "no-worker").why.says == "no worker serves pool agents"
    worker = gateway.start_worker()
    began = until(gateway, "ops", "running")
    worker.kill()
    assert "lease-dead" in until(gateway, "ops", "no-worker").why.also
    gateway.start_worker()
    found = until(gateway, "ops", "lease-dead")
    assert f".{worker.pid}." in found.why.says
    assert began.why.says.split("batch ")[1].split(",")[0] in found.why.says
    gateway.open("ops")
    gateway.quiet(settled=1)


@pytest.mark.slow
def test_a_heartbeat_that_wakes_its_own_agent_is_braked(gateway: Gateway) -> None:
    """Three heartbeats may cause one another; the next waits, flagged, and what comes from elsewhere does not."""
    runner = {"type": "command", "command": ["sh", "-c", AGAIN, sys.executable]}
    policy = {"runner": runner, "max_lineage_depth": 3, "lineage_spacing_ms": HOUR_MS}
    gateway.configure(agents={"ops": policy})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("first")
    found = until(gateway, "ops", "lineage")
    assert gateway.records().count("begun") == 4
    assert found.why.says == "its heartbeats wake one another: this chain is 4 deep, 3 are free; caused per heartbeat: 1.0"
    assert (found.heartbeats, found.caused, found.why.caused_per_heartbeat, found.why.waiting) == (4, 4, 1.0, 1)
    gateway.submit("elsewhere")
    wait_until(settled(gateway, ["elsewhere"]), PATIENCE_S, "what comes from elsewhere runs")


@pytest.mark.slow
def test_a_chain_of_fifty_is_braked(gateway: Gateway) -> None:
    """A function that reports the next completion of its own session in every turn; the fiftieth turn is the last that is free."""
    (gateway.folder / "again.py").write_text(AGAIN_HERE)
    runner = {"type": "python", "target": "again:turn"}
    limits = {"max_lineage_depth": 49, "lineage_spacing_ms": HOUR_MS, "min_spacing_ms": 0, "flood_starts": 0}
    gateway.configure(agents={"ops": {"runner": runner, **limits}})
    gateway.start_router()
    gateway.start("worker", "--pool", "agents", env={"PYTHONPATH": f"{ROOT}:{gateway.folder}"})
    gateway.ready()
    gateway.submit("first")
    found = until(gateway, "ops", "lineage")
    assert gateway.records().count("begun") == 50
    assert found.why.says == "its heartbeats wake one another: this chain is 50 deep, 49 are free; caused per heartbeat: 1.0"
