"""Workers that consume queues which are not theirs: they may swallow hints, and wake nobody."""

from __future__ import annotations

import pytest
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from dispatcher.homes import queue_of
from dispatcher.names import HEARTBEAT, ROUTE
from tests.acceptance.celery.fleet import AGENTS, ROUTER, Fleet, consumed, process_of
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, ids

LAB = "--pool lab"
TWO_POOLS = {"agents": {"ops": {}, "chem": {}}, "pools": {"lab": {"agents": ["chem"]}}}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(ROUTER, LAB)])
@pytest.mark.parametrize("tables", [TWO_POOLS])
def test_a_worker_of_another_pool_refuses_the_doorbell(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """Told to consume the queue of ops as well, it runs nothing of ops; the work waits, and runs at home when home is there."""
    lab = celery_setup.worker_cluster[1]
    queue = queue_of(fleet.config, "ops", "agents")
    name = next(worker for worker in consumed(celery_setup.app, 2) if worker.startswith("lab."))
    (answer,) = celery_setup.app.control.add_consumer(queue, destination=[name], reply=True, timeout=200, limit=1)
    assert answer == {name: {"ok": f"add consumer {queue}"}}
    fleet.submit("c1")
    wait_until(lambda: fleet.store.ledger.balance().pending, PATIENCE_S, "the wake of ops lies in its mailbox")
    celery_setup.app.send_task(HEARTBEAT, args=("ops",), queue=queue, ignore_result=True)
    lab.assert_log_exists("foreign doorbell agent=ops refused: it lives in pool agents, we serve lab")
    assert fleet.store.ledger.balance().pending == 1
    assert fleet.beats() == []
    home = fleet.start_worker()
    fleet.quiet(accepted=1, settled=1)
    (beat,) = fleet.beats()
    assert (beat.agent_id, beat.ids, beat.parent) == ("ops", ("c1",), home.pid)
    fleet.submit("c2", session="agent:chem:main")
    fleet.quiet(accepted=2, settled=2)
    assert fleet.beats("chem")[0].parent == process_of(lab).pid


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(ROUTER, AGENTS)])
@pytest.mark.parametrize("tables", [{"pools": {"agents": {"partitions": 1}}}])
def test_a_worker_of_another_program_costs_only_hints(celery_setup: CeleryTestSetup, fleet: Fleet, stranger: CeleryTestWorker) -> None:
    """It takes and throws away announcements and doorbells; routers and sweeps look by themselves, so nothing is lost or doubled."""
    for _ in range(50):  # both take turns at the server, so it cannot miss all of these
        celery_setup.app.send_task(ROUTE, queue="wake.inbox", ignore_result=True)
        celery_setup.app.send_task(HEARTBEAT, args=("ops",), queue="wake.agents.00", ignore_result=True)
    for task in (ROUTE, HEARTBEAT):
        stranger.assert_log_exists(f"unregistered task of type '{task}'")
    sent = ids("c", 40)
    for completion_id in sent:
        fleet.producer.delay(completion_id=completion_id, session_key="agent:ops:main", exit_code=1)
    fleet.quiet(accepted=len(sent), settled=len(sent))
    beats = fleet.beats()
    assert_each_once(beats, sent)
    assert_one_at_a_time(beats)
    assert all(process_of(node).alive for node in celery_setup.worker_cluster)
