"""The whole path through Celery workers: a completion is reported, one heartbeat runs, it is settled."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_celery import CeleryTestSetup

from dispatcher.names import EXEC_COMPLETED
from tests.acceptance.celery.fleet import AGENTS, ROUTER, Fleet, process_of
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gateway import PATIENCE_S, ids

FOUR: dict[str, dict[str, Any]] = {"agents": {f"a{n}": {} for n in range(4)}, "pools": {"agents": {"concurrency": 2}}}


def test_a_completion_reported_with_delay_wakes_its_agent_and_is_settled(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """Through a router worker and an agent worker, one heartbeat, and the producer's `.get()` sees it settled."""
    assert celery_setup.ready(ping=False, control=True, docker=True)
    receipt = fleet.producer.delay(completion_id="c1", session_key="agent:ops:main", exit_code=1, output="boom")
    assert receipt["completion_id"] == "c1"
    assert fleet.producer.fate("c1", PATIENCE_S) == {"fate": "settled"}
    fleet.quiet(accepted=1, settled=1)
    (beat,) = fleet.beats()
    assert (beat.agent_id, beat.ids, beat.attempt) == ("ops", ("c1",), 1)


def test_a_producer_that_knows_only_the_name_of_the_task(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """Another Celery program without this package: its task id is the completion id, and twice the same is one completion."""
    for _ in range(2):
        celery_setup.app.send_task(
            EXEC_COMPLETED, kwargs={"session_key": "agent:ops:main", "exit_code": 1}, task_id="t1", queue="wake.inbox", ignore_result=True
        )
    fleet.quiet(accepted=1, settled=1)
    assert [beat.ids for beat in fleet.beats()] == [("t1",)]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(ROUTER, ROUTER, AGENTS, AGENTS)])
@pytest.mark.parametrize("tables", [FOUR])
def test_several_workers_share_the_agents(celery_setup: CeleryTestSetup, fleet: Fleet) -> None:
    """Four heartbeats at once need both workers; each agent gets its own completions and runs one heartbeat at a time."""
    fleet.plan(gate="goes-on")
    sent = {agent_id: ids(agent_id, 50) for agent_id in FOUR["agents"]}
    for agent_id, own in sent.items():
        for completion_id in own:
            fleet.producer.delay(completion_id=completion_id, session_key=f"agent:{agent_id}:main", exit_code=1)
    first = fleet.started(4)
    assert {beat.agent_id for beat in first} == set(sent)
    assert {beat.parent for beat in first} == {process_of(node).pid for node in celery_setup.worker_cluster[2:]}
    fleet.open("goes-on")
    fleet.quiet(accepted=200, settled=200)
    beats = fleet.beats()
    assert_one_at_a_time(beats)
    for agent_id, own in sent.items():
        assert_each_once(fleet.beats(agent_id), own)
    assert len(beats) < 20
