"""Workers and routers that are killed or stopped while they work, through the nodes of a pytest-celery setup."""

from __future__ import annotations

import os

import pytest
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from tests.acceptance.celery.fleet import AGENTS, ROUTER, Fleet, exit_code, process_of
from tests.support.beats import Beat, assert_each_once, assert_one_at_a_time
from tests.support.gateway import ids
from tests.support.requests import wait_gone

TWO = pytest.mark.parametrize("processes", [(ROUTER, AGENTS, AGENTS)])
HANDFUL = [f"a{n}" for n in range(5)]


def worker_pid(beat: Beat) -> int:
    """The worker under which it runs; its parent may be a child of that."""
    return os.getpgid(beat.parent)


def holder_and_other(setup: CeleryTestSetup, fleet: Fleet) -> tuple[CeleryTestWorker, CeleryTestWorker]:
    """The worker that runs the first heartbeat, and the one that does not."""
    one, other = setup.worker_cluster[1:]
    return (one, other) if process_of(one).pid == worker_pid(fleet.beats()[0]) else (other, one)


def assert_taken_over(fleet: Fleet, other: CeleryTestWorker) -> None:
    """The other worker runs the same batch as its second attempt, then what came meanwhile; nothing is lost."""
    first, second = fleet.started(2)
    assert (second.batch_id, second.ids, second.attempt) == (first.batch_id, first.ids, 2)
    assert worker_pid(second) == process_of(other).pid
    assert second.token > first.token
    fleet.open("goes-on")
    fleet.quiet(accepted=3, settled=3)
    beats = fleet.beats()
    assert [beat.ids for beat in beats] == [first.ids, first.ids, ("later",)]
    assert_one_at_a_time(beats)


@pytest.mark.slow
@TWO
def test_a_worker_killed_in_mid_heartbeat(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """SIGKILL: its command dies with it, and the other worker runs the same batch before the lease would have ended."""
    child = fleet.in_mid_heartbeat()
    lease_ends_ms = fleet.lease_ends_ms()
    holder, other = holder_and_other(celery_setup, fleet)
    holder.kill()
    wait_gone(fleet.beats()[0].pid, child)
    assert holder.container.status == "exited"
    assert_taken_over(fleet, other)
    again_ms = [record["at"] for record in fleet.store.ledger.records("ops") if record["what"] == "begun"][1]
    assert again_ms < lease_ends_ms


@pytest.mark.slow
@TWO
@pytest.mark.parametrize("tables", [{"lease": {"grace_ms": 3_600_000}}])
def test_a_warm_stop_lets_the_heartbeat_finish(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """SIGTERM: the heartbeat ends and settles where it began, what came meanwhile runs on the other worker, the exit code is 0."""
    fleet.in_mid_heartbeat()
    holder, other = holder_and_other(celery_setup, fleet)
    holder.kill("SIGTERM")
    process_of(holder).hears("nothing begins here any more")
    fleet.open("goes-on")
    fleet.quiet(accepted=3, settled=3)
    assert exit_code(holder) == 0
    first, second = fleet.beats()
    assert (first.ids, first.parent, first.attempt) == (("c1", "c2"), process_of(holder).pid, 1)
    assert (second.ids, second.parent, second.attempt) == (("later",), process_of(other).pid, 1)


@pytest.mark.slow
@TWO
@pytest.mark.parametrize("tables", [{"pools": {"agents": {"pool_type": kind, "concurrency": 2}}} for kind in ("threads", "prefork")])
def test_a_cold_stop_gives_the_heartbeat_away(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """SIGQUIT: the worker hands the batch back without waiting and ends; the same batch runs on the other one at once."""
    child = fleet.in_mid_heartbeat()
    holder, other = holder_and_other(celery_setup, fleet)
    holder.kill("SIGQUIT")
    exit_code(holder)
    wait_gone(fleet.beats()[0].pid, child)
    assert_taken_over(fleet, other)
    assert fleet.records()[:3] == ["begun", "handed-back", "begun"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "tables",
    [{"agents": {agent_id: {} for agent_id in HANDFUL}, "routing": {"claim_idle_ms": 2000, "max_claims": 100, "route_batch": 500}}],
)
def test_a_router_killed_between_deposit_and_acknowledgement(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """Killed when a deposit shows while its inbox entries are still there, and started again: nothing is lost, nothing doubled."""
    router = celery_setup.worker_cluster[0]
    sent: list[str] = []
    caught = turn = 0
    while turn < 3 or not caught:  # on a slow machine it may be done before we kill it
        turn += 1
        assert turn < 20, "the router never died with entries in hand"
        for agent_id in HANDFUL:
            fresh = ids(f"{agent_id}.{turn}", 100)
            fleet.submit(*fresh, session=f"agent:{agent_id}:main")
            sent += fresh
        fleet.await_deposits(HANDFUL, len(sent) - 500)
        router.kill()
        caught += fleet.store.ledger.inbox_depth() > 0
        router.restart()
        fleet.quiet(settled=len(sent))
    fleet.quiet(accepted=len(sent), settled=len(sent), dead=0)
    assert_each_once(fleet.beats(), sent)
    assert_one_at_a_time(fleet.beats())
