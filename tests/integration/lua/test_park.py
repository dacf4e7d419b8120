"""park: a batch that did not end well waits, as it is, for its next attempt."""

from __future__ import annotations

import pytest

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, MAIN, SIDE, T0, Rig, ids


def test_parked(rig: Rig) -> None:
    """PARKED: unchanged, not before its time, with its failure counted; the target is blocked and the agent free."""
    lease, batch = rig.running("c1", "c2")
    assert rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "exit code 1") == Ended("PARKED", ring=False)
    assert rig.due_ms() == T0 + 2000
    assert rig.client.hget(rig.key("blocks"), MAIN) == f"{batch.batch_id}|0|0|parked"
    assert rig.fate("c1") == "pending"
    assert rig.ledger.balance().pending == 2
    assert rig.client.hget(rig.key("counters"), "heartbeats:failed") == "1"
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]) == ("failed", {"error": "exit code 1", "delay_ms": 2000})
    assert not rig.client.exists(rig.key("leases"))


def test_due_at_once_rings(rig: Rig) -> None:
    lease, batch = rig.running()
    assert rig.mailbox.park(lease, batch.batch_id, "handed-back", 0, "SIGTERM") == Ended("PARKED", ring=True)


def test_the_newest_five_errors_are_kept(rig: Rig) -> None:
    batch = rig.parked(delay_ms=0)
    for i in range(6):
        lease = rig.leased().lease
        rig.resumed(lease, batch.batch_id)
        rig.mailbox.park(lease, batch.batch_id, "failed", 0, f'"error" {i} | \\ é')
    lease = rig.leased().lease
    again = rig.resumed(lease, batch.batch_id)
    assert (again.attempt, again.failures, again.deliveries) == (8, 7, 8)
    rig.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "")
    (letter,) = rig.ledger.dead_letters()
    assert letter.errors == tuple(f'"error" {i} | \\ é' for i in range(1, 6))


@pytest.mark.parametrize("intent", ["manual", "immediate"])
def test_an_urgent_wake_that_waits_makes_it_due_now_once(rig: Rig, intent: str) -> None:
    """It came while the batch ran. After the next failure the backoff holds, or one poke would use up every attempt."""
    lease, batch = rig.running("c1")
    rig.wake("c2", intent)
    assert rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom").ring is True
    leased = rig.leased()
    assert leased.snapshot.parked[0].urgent == intent
    rig.resumed(leased.lease, batch.batch_id)
    assert rig.mailbox.park(leased.lease, batch.batch_id, "failed", 4000, "boom").ring is False
    assert rig.due_ms() == T0 + 4000
    assert rig.wake("c3", intent).rest == [1]
    assert rig.due_ms() == T0


def test_an_urgent_wake_of_another_session_does_not(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.wake("c2", "manual", SIDE)
    rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom")
    assert rig.leased().snapshot.parked[0].not_before_ms == T0 + 2000


def test_only_its_target_is_blocked(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.wake("c2")
    rig.wake("c3", session=SIDE)
    assert rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom").ring is True
    leased = rig.leased()
    assert [lane.session_key for lane in leased.snapshot.lanes] == [SIDE]
    rig.settle(leased.lease, rig.begun(leased.lease, SIDE))
    assert rig.due_ms() == T0 + 2000
    assert rig.waiting() == ["c2"]


def test_already_settled(rig: Rig) -> None:
    """ALREADY_SETTLED: one failure is counted once, though its reply was lost."""
    lease, batch = rig.running()
    rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom")
    with rig.unchanged():
        assert rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom") == Ended("ALREADY_SETTLED")


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: a late holder does not fail the batch of another."""
    lease, batch = rig.taken_over()
    with rig.unchanged():
        assert rig.mailbox.park(lease, batch.batch_id, "failed", 0, "boom") == Ended("STALE_TOKEN")


def test_no_batch(rig: Rig) -> None:
    """NO_BATCH: it is not this lease's."""
    lease, batch = rig.running()
    with rig.unchanged():
        assert rig.mailbox.park(lease, "ops-1", "failed", 0, "boom") == Ended("NO_BATCH")
    assert ids(batch) == ["c1"]


def test_busy_counts_nothing_and_forgets_its_own_start(rig: Rig) -> None:
    """Of a retry only: the first attempt's start, which may have reached the model, stays."""
    batch = rig.parked(delay_ms=0)
    starts = rig.starts()
    lease = rig.leased().lease
    rig.resumed(lease, batch.batch_id)
    assert len(rig.starts()) == len(starts) + 1
    assert rig.mailbox.park(lease, batch.batch_id, "busy", 1000, "active-run") == Ended("PARKED", ring=False)
    assert rig.starts() == starts
    rig.now_ms += 1000
    lease = rig.leased().lease
    again = rig.resumed(lease, batch.batch_id)
    assert (again.attempt, again.failures, again.deliveries) == (3, 1, 2)


def test_busy_after_a_take_over_keeps_the_one_start(rig: Rig) -> None:
    """The taken-over attempt noted none of its own."""
    _, batch = rig.running()
    rig.now_ms += rig.limits.ttl_ms
    lease = rig.leased("h2").lease
    starts = rig.starts()
    rig.resumed(lease, batch.batch_id)
    rig.mailbox.park(lease, batch.batch_id, "busy", 1000, "active-run")
    assert rig.starts() == starts
