"""reclaim: the lease of a holder that is gone ends early, if it is still the one that was watched."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.models import Lease
from dispatcher.store.mailbox import NotLeased
from dispatcher.store.scripts import Reply
from tests.support.store import AGENT, T0, Rig


def reclaim(rig: Rig, lease: Lease, renewal: int = 0, min_uptime_s: int = 0) -> Reply:
    channel = rig.keys.presence_channel
    args: dict[str, Any] = {"now": rig.now_ms, "agent": AGENT, "token": lease.token, "renewal": renewal, "channel": channel}
    return rig.step("reclaim", **args, min_uptime_s=min_uptime_s, ledger_max=100)


def test_reclaimed(rig: Rig) -> None:
    """RECLAIMED: long before the lease ends the next worker has the same batch, at once."""
    lease, batch = rig.running()
    rig.now_ms += 600
    assert reclaim(rig, lease) == ("RECLAIMED", [1])
    assert rig.ledger.records(AGENT)[-1]["what"] == "reclaimed"
    assert rig.sweep() == (2000, [])
    leased = rig.leased("h2")
    assert leased.lease.token > lease.token
    again = rig.resumed(leased.lease, batch.batch_id)
    assert (again.attempt, again.wakes) == (2, batch.wakes)
    assert len(rig.starts()) == 1


def test_a_ring_that_was_lost_is_repeated(rig: Rig) -> None:
    lease, _ = rig.running()
    reclaim(rig, lease)
    rig.now_ms += 2000
    assert rig.sweep()[1] == [AGENT]


def test_a_reclaimed_claim_is_taken_over(rig: Rig) -> None:
    rig.wake("c1")
    lease = rig.leased("h1").lease
    assert reclaim(rig, lease).status == "RECLAIMED"
    assert rig.leased("h2").lease.token > lease.token


@pytest.mark.parametrize("swept", [True, False])
def test_a_gap_does_not_spare_it(rig: Rig, swept: bool) -> None:
    rig.sweep()
    lease, _ = rig.running()
    rig.now_ms += 5000
    if swept:
        rig.sweep()
    assert reclaim(rig, lease).status == "RECLAIMED"
    rig.leased("h2")


def test_changed(rig: Rig) -> None:
    """CHANGED: it renewed, settled, was taken over, or is reclaimed already."""
    lease, batch = rig.running()
    rig.mailbox.renew_all([(lease, batch.batch_id)])
    with rig.unchanged():
        assert reclaim(rig, lease, renewal=0).status == "CHANGED"
        assert reclaim(rig, lease.model_copy(update={"token": lease.token - 1}), renewal=1).status == "CHANGED"
    assert reclaim(rig, lease, renewal=1).status == "RECLAIMED"
    with rig.unchanged():
        assert reclaim(rig, lease, renewal=1).status == "CHANGED"
    rig.leased("h2")
    with rig.unchanged():
        assert reclaim(rig, lease, renewal=1).status == "CHANGED"


def test_changed_for_nobodys_lease(rig: Rig) -> None:
    lease, batch = rig.running()
    rig.settle(lease, batch)
    with rig.unchanged():
        assert reclaim(rig, lease).status == "CHANGED"


def test_present(rig: Rig) -> None:
    """PRESENT: it came back between the looks."""
    lease, _ = rig.running()
    with rig.presence("h1"), rig.unchanged():
        assert reclaim(rig, lease).status == "PRESENT"


def test_too_early(rig: Rig) -> None:
    """TOO_EARLY: after a server start every holder has time to connect again."""
    lease, _ = rig.running()
    with rig.unchanged():
        assert reclaim(rig, lease, min_uptime_s=1_000_000).status == "TOO_EARLY"


def test_a_holder_that_is_not_gone_after_all_gets_its_lease_back(rig: Rig) -> None:
    """It lost its presence and still renews: while nobody took the agent the lease is its own."""
    lease, batch = rig.running()
    reclaim(rig, lease)
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    assert rig.due_ms() == T0 + rig.limits.ttl_ms
    assert rig.acquire("h2") == NotLeased("LEASE_HELD", f"{T0 + rig.limits.ttl_ms}/h1")
    assert reclaim(rig, lease, renewal=0).status == "CHANGED"
    assert rig.settle(lease, batch).status == "SETTLED"
