"""The server goes away under working workers and comes back on the same data."""

from __future__ import annotations

import pytest
from pytest_celery import CeleryTestSetup

from tests.acceptance.celery.fleet import AGENTS, ROUTER, Fleet, consumed, process_of
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gateway import ids

PARTITIONS = 4


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(ROUTER, AGENTS, AGENTS)])
@pytest.mark.parametrize("tables", [{"pools": {"agents": {"partitions": PARTITIONS}}}])
@pytest.mark.parametrize("force", [False, True], ids=["restarted", "stopped-before"])
def test_a_restarted_broker_finds_the_same_workers_on_the_same_queues(celery_setup: CeleryTestSetup, fleet: Fleet, force: bool) -> None:
    """In mid-heartbeat: it ends and settles as the first attempt, no worker dies, and each consumes its `-Q` queues and no other."""
    queues = {f"router.{process_of(celery_setup.worker_cluster[0]).pid}": ["wake.inbox"]}
    for node in celery_setup.worker_cluster[1:]:
        queues[f"agents.{process_of(node).pid}"] = [f"wake.agents.{nn:02d}" for nn in range(PARTITIONS)]
    fleet.in_mid_heartbeat()
    before = consumed(celery_setup.app, 3)
    assert {worker.split("@")[0]: found for worker, found in before.items()} == queues
    celery_setup.broker.restart(force=force)
    fleet.ready()
    assert consumed(celery_setup.app, 3) == before
    fleet.open("goes-on")
    fleet.quiet(accepted=3, settled=3)
    more = ids("after", 20)
    fleet.submit(*more)
    fleet.quiet(accepted=23, settled=23)
    beats = fleet.beats()
    assert (beats[0].ids, {beat.attempt for beat in beats}) == (("c1", "c2"), {1})
    assert_one_at_a_time(beats)
    assert_each_once(beats, ["c1", "c2", "later", *more])
    assert all(process_of(node).alive for node in celery_setup.worker_cluster)
