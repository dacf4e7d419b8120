"""Routers that are killed between deposit and acknowledgement: nothing is lost, nothing doubled."""

from __future__ import annotations

import pytest

from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, ids

AGENTS = [f"a{n}" for n in range(5)]


@pytest.mark.slow
def test_a_router_killed_between_deposit_and_acknowledgement(gateway: Gateway) -> None:
    """Killed as soon as a deposit shows while its inbox entry is still there, again and again; another router takes over."""
    gateway.configure(agents={agent_id: {} for agent_id in AGENTS}, routing={"claim_idle_ms": 2000, "max_claims": 100, "route_batch": 500})
    gateway.start_worker()
    gateway.ready()
    sent: list[str] = []
    caught = turn = 0
    while turn < 3 or not caught:  # on a slow machine it may be done before we kill it
        turn += 1
        assert turn < 20, "no router died with entries in hand"
        for agent_id in AGENTS:
            fresh = ids(f"{agent_id}.{turn}", 100)
            gateway.submit(*fresh, session=f"agent:{agent_id}:main")
            sent += fresh
        before = deposits(gateway)
        doomed = gateway.start_router()
        await_deposits(gateway, before)
        doomed.kill()
        caught += gateway.store.ledger.inbox_depth() > 0
    gateway.start_router()
    gateway.quiet(accepted=len(sent), settled=len(sent), dead=0)
    assert_each_once(gateway.beats(), sent)
    assert_one_at_a_time(gateway.beats())


def await_deposits(gateway: Gateway, before: int) -> None:
    wait_until(lambda: deposits(gateway) > before, PATIENCE_S, "the first deposits", every_s=0.001)


def deposits(gateway: Gateway) -> int:
    """Completions that have a fate with their agent."""
    pipe = gateway.store.client.pipeline(transaction=False)
    for agent_id in AGENTS:
        pipe.hlen(gateway.store.keys.agent("agents", agent_id)["fates"])
    return sum(pipe.execute())


def test_two_routers_share_the_inbox(gateway: Gateway) -> None:
    """Under load, one of them killed on the way: every completion once."""
    gateway.configure(agents={agent_id: {} for agent_id in AGENTS}, routing={"claim_idle_ms": 2000, "max_claims": 100, "route_batch": 20})
    gateway.start_worker()
    doomed, _ = gateway.start_router(), gateway.start_router()
    gateway.ready()
    sent: list[str] = []
    for turn in range(20):
        for agent_id in AGENTS:
            fresh = ids(f"{agent_id}.{turn}", 10)
            gateway.submit(*fresh, session=f"agent:{agent_id}:main")
            sent += fresh
        if turn == 10:
            doomed.kill()
    gateway.quiet(accepted=len(sent), settled=len(sent), dead=0)
    assert_each_once(gateway.beats(), sent)
    assert_one_at_a_time(gateway.beats())
