"""What a worker takes from its queues, and how long a heartbeat may last."""

from __future__ import annotations

import pytest

from tests.support.beats import assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway

AGENTS = [f"a{n}" for n in range(6)]


def waiting(gateway: Gateway) -> int:
    """Doorbells that lie in the queues of the pool, where any worker can take them."""
    pipe = gateway.store.client.pipeline(transaction=False)
    for number in range(gateway.config.pool("agents").partitions):
        pipe.llen(f"wake.agents.{number:02d}")
    return sum(pipe.execute())


def test_a_worker_reserves_only_what_it_can_run(gateway: Gateway) -> None:
    """Two run, the doorbells of the others stay in their queues, and a second worker takes them at once."""
    gateway.configure(agents={agent_id: {} for agent_id in AGENTS}, pools={"agents": {"concurrency": 2}})
    gateway.plan(gate="goes-on")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    for agent_id in AGENTS:
        gateway.submit(agent_id, session=f"agent:{agent_id}:main")
    first = gateway.started(2)
    wait_until(lambda: waiting(gateway) >= len(AGENTS) - 2, PATIENCE_S, "the other doorbells lie in their queues")
    wait_until(lambda: gateway.store.ledger.balance().running == 2, PATIENCE_S, "two run, and no third is held")
    gateway.start_worker()
    others = gateway.started(4)[2:]
    assert {beat.parent for beat in first}.isdisjoint(beat.parent for beat in others)
    gateway.open("goes-on")
    gateway.quiet(settled=len(AGENTS))


@pytest.mark.slow
def test_a_heartbeat_that_lasts_several_leases_is_the_only_one(gateway: Gateway) -> None:
    """The lease is renewed for as long as it runs, under the eyes of a second worker that would take it."""
    gateway.configure(lease={"ttl_ms": 2400, "renew_ms": 200, "margin_ms": 200})
    gateway.plan(gate="goes-on")
    gateway.start_router()
    for _ in range(2):
        gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    gateway.started(1)
    begun_ms = gateway.store.ledger.now_ms()
    wait_until(lambda: gateway.store.ledger.now_ms() > begun_ms + 3 * 2400 and gateway.renewals() > 5, PATIENCE_S, "three leases are over")
    gateway.open("goes-on")
    gateway.quiet(accepted=1, settled=1)
    beats = gateway.beats()
    assert_one_at_a_time(beats)
    assert gateway.records() == ["begun", "ran"]
