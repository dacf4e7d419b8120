"""renew: a running batch keeps its lease."""

from __future__ import annotations

from tests.support.store import AGENT, LIMIT_MS, SIDE, T0, Rig


def test_renewed(rig: Rig) -> None:
    """RENEWED: one more ttl from now, and the count that a watcher compares."""
    lease, batch = rig.running()
    rig.now_ms += 5000
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    assert rig.due_ms() == T0 + 5000 + rig.limits.ttl_ms
    assert rig.client.hget(rig.key("leases"), AGENT) == f"{lease.token}|1|{rig.due_ms()}|h1|{batch.batch_id}"
    assert rig.client.hget(rig.key("lease"), "renewal") == "1"


def test_a_renewed_lease_is_not_taken(rig: Rig) -> None:
    lease, batch = rig.running()
    for _ in range(4):
        rig.now_ms += rig.limits.ttl_ms - 1
        assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    rig.now_ms += rig.limits.ttl_ms - 1
    assert not hasattr(rig.acquire("h2"), "lease")
    assert rig.settle(lease, batch).status == "SETTLED"


def test_an_expired_lease_that_nobody_took_is_renewed(rig: Rig) -> None:
    lease, batch = rig.running()
    rig.now_ms += rig.limits.ttl_ms + 1
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    assert not hasattr(rig.acquire("h2"), "lease")


def test_no_batch(rig: Rig) -> None:
    """NO_BATCH: before begin a claim has its own deadline, and another batch is not renewed."""
    rig.wake("c1")
    lease = rig.leased().lease
    with rig.unchanged():
        assert rig.mailbox.renew_all([(lease, ""), (lease, f"ops-{lease.token}")]) == ["NO_BATCH", "NO_BATCH"]
    rig.begun(lease)
    with rig.unchanged():
        assert rig.mailbox.renew_all([(lease, ""), (lease, "ops-1")]) == ["NO_BATCH", "NO_BATCH"]


def test_overdue(rig: Rig) -> None:
    """OVERDUE: after the time limit nobody keeps an agent by renewing."""
    lease, batch = rig.running()
    rig.now_ms += LIMIT_MS
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    rig.now_ms += 1
    with rig.unchanged():
        assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["OVERDUE"]
    assert rig.settle(lease, batch).status == "SETTLED"


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: taken over, or released."""
    lease, batch = rig.taken_over()
    with rig.unchanged():
        assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["STALE_TOKEN"]
    new = rig.leased("h2", "n2").lease
    rig.settle(new, rig.resumed(new, batch.batch_id))
    with rig.unchanged():
        assert rig.mailbox.renew_all([(new, batch.batch_id)]) == ["STALE_TOKEN"]


def test_one_lost_lease_among_many(rig: Rig) -> None:
    """Each is answered for itself."""
    lease, batch = rig.running("c1")
    other = lease.model_copy(update={"token": lease.token - 1})
    rig.wake("c2", session=SIDE)
    assert rig.mailbox.renew_all([(other, batch.batch_id), (lease, batch.batch_id)]) == ["STALE_TOKEN", "RENEWED"]
