"""resume: a parked batch runs again as it is, as its next attempt."""

from __future__ import annotations

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, LIMIT_MS, MAIN, SIDE, T0, Rig, ids


def test_begun(rig: Rig) -> None:
    """BEGUN: same id, same wakes, next attempt; what came meanwhile waits; a retry is a start."""
    first = rig.parked("c1", "c2")
    rig.now_ms += 2000
    rig.wake("c3")
    leased = rig.leased("h2")
    batch = rig.resumed(leased.lease, first.batch_id)
    assert (batch.batch_id, batch.wakes, batch.address) == (first.batch_id, first.wakes, first.address)
    assert (batch.attempt, batch.failures, batch.deliveries) == (2, 1, 2)
    assert rig.waiting() == ["c3"]
    assert rig.due_ms() == rig.now_ms + rig.limits.ttl_ms
    assert [start.split(":")[0] for start in rig.starts()] == [str(T0), str(T0 + 2000)]
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]) == ("begun", {"n": 2, "session": MAIN, "attempt": 2})
    assert rig.settle(leased.lease, batch) == Ended("SETTLED", ring=True, count=2)


def test_a_repeated_resume_gets_the_same_attempt(rig: Rig) -> None:
    first = rig.parked()
    rig.now_ms += 2000
    lease = rig.leased().lease
    batch = rig.resumed(lease, first.batch_id)
    with rig.unchanged():
        assert rig.resumed(lease, first.batch_id) == batch


def test_a_hand_back_is_the_same_start(rig: Rig) -> None:
    """It counts neither as a failure nor as a delivery, and the cooldown does not see it twice."""
    first = rig.parked(kind="handed-back", delay_ms=0)
    leased = rig.leased("h2")
    assert leased.snapshot.parked[0].bypass is True
    batch = rig.resumed(leased.lease, first.batch_id)
    assert (batch.attempt, batch.failures, batch.deliveries) == (2, 0, 1)
    assert len(rig.starts()) == 1
    rig.mailbox.park(leased.lease, batch.batch_id, "failed", 0, "boom")
    lease = rig.leased("h3")
    assert lease.snapshot.parked[0].bypass is False
    rig.resumed(lease.lease, batch.batch_id)
    assert len(rig.starts()) == 2


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: two workers saw the same parked batch, and the first was too slow."""
    first = rig.parked(delay_ms=0)
    old = rig.leased("h1").lease
    rig.now_ms += rig.limits.claim_ms
    rig.leased("h2")
    with rig.unchanged():
        assert rig.mailbox.resume(old, first.batch_id, LIMIT_MS) == Ended("STALE_TOKEN")


def test_begun_already(rig: Rig) -> None:
    """BEGUN_ALREADY: this lease runs another batch."""
    first = rig.parked("c1")
    lease, _ = rig.running("c2", session=SIDE)
    with rig.unchanged():
        assert rig.mailbox.resume(lease, first.batch_id, LIMIT_MS) == Ended("BEGUN_ALREADY")


def test_no_batch(rig: Rig) -> None:
    """NO_BATCH: it is settled, or never was."""
    rig.wake("c1")
    lease = rig.leased().lease
    with rig.unchanged():
        assert rig.mailbox.resume(lease, "ops-1", LIMIT_MS) == Ended("NO_BATCH")


def test_parked_batches_of_several_targets(rig: Rig) -> None:
    """Each blocks its own target, and the earliest is looked at first."""
    one = rig.parked("c1", delay_ms=5000)
    two = rig.parked("c2", session=SIDE, delay_ms=3000)
    assert rig.due_ms() == T0 + 3000
    rig.now_ms += 3000
    leased = rig.leased()
    assert [(p.batch_id, p.session_key) for p in leased.snapshot.parked] == [(two.batch_id, SIDE), (one.batch_id, MAIN)]
    rig.settle(leased.lease, rig.resumed(leased.lease, two.batch_id))
    assert rig.due_ms() == T0 + 5000
    status = rig.ledger.agent(AGENT)
    assert status
    assert status.parked == 1
    assert ids(one) == ["c1"]
