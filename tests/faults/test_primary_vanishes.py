"""The primary answers no more and closes nothing, as a machine that lost its power: who waits there must leave by himself."""

from __future__ import annotations

import pytest

from tests.faults.test_failover import Traffic, all_settled_once, gateway, long_heartbeat, watched
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.sentinels import Watched

__all__ = ["gateway", "watched"]

pytestmark = pytest.mark.slow


def test_heartbeats_begin_again_while_the_old_primary_stands_still(watched: Watched, gateway: Gateway) -> None:
    traffic = Traffic(gateway)
    long_heartbeat(gateway)
    traffic.flows()
    old = watched.primary
    traffic.fails_over()
    old.freeze()
    for worker in gateway.workers:
        worker.hears("the broker is another server now")
    traffic.flows()
    begun = len(gateway.beats())
    wait_until(lambda: len(gateway.beats()) > begun, PATIENCE_S, "heartbeats begin again")
    old.thaw()
    wait_until(lambda: watched.follows(old), PATIENCE_S, "the old primary follows the new one")
    traffic.flows()
    all_settled_once(gateway, traffic.end())
