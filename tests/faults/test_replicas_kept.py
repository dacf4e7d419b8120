"""A primary dies that promised nothing before a replica had it: everything with a receipt settles, once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.test_failover import AGENTS, LONG, Traffic, all_settled_once, long_heartbeat
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Table
from tests.support.sentinels import Watched

pytestmark = pytest.mark.slow


@pytest.fixture
def watched() -> Iterator[Watched]:
    """With two replicas: one of them is promoted, and has the other one."""
    with Watched(replicas=2) as watched:
        yield watched


@pytest.fixture
def gateway(watched: Watched, tmp_path: Path) -> Iterator[Gateway]:
    """As that of the other failovers, and it waits for a replica."""
    gateway = Gateway(tmp_path, None, watched.url)
    redis = {"url": watched.url, "wait_replicas": 1, "wait_replicas_ms": 2_000}
    agents: Table = {agent_id: {} for agent_id in [*AGENTS, LONG]}
    gateway.configure(redis=redis, agents=agents, lease={"renew_ms": 500, "margin_ms": 500})
    gateway.start_router()
    gateway.start_worker()
    gateway.start_worker()
    try:
        gateway.ready()
        yield gateway
    finally:
        gateway.close()


def test_whatever_has_a_receipt_survives_the_primary(watched: Watched, gateway: Gateway) -> None:
    traffic = Traffic(gateway)
    long_heartbeat(gateway)
    for _ in range(2):
        traffic.flows(100)
        killed = watched.kill()
        traffic.flows(100)
        killed.start()
        wait_until(partial(watched.follows, killed), PATIENCE_S, "the one that was killed follows")
    all_settled_once(gateway, traffic.end())
