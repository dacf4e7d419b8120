"""settle: the batch is done and the agent is free, in one step with "anything left?"."""

from __future__ import annotations

from typing import Literal

import pytest

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, SIDE, T0, Rig, ids


@pytest.mark.parametrize("outcome", ["ran", "skipped"])
def test_settled(rig: Rig, outcome: Literal["ran", "skipped"]) -> None:
    """SETTLED: exactly the ids of the batch; nothing of it is left but fates, a start and a ledger line."""
    lease, batch = rig.running("c1", "c2")
    rig.now_ms += 10
    assert rig.mailbox.settle(lease, batch.batch_id, outcome, {"note": "done"}) == Ended("SETTLED", ring=False, count=2)
    assert rig.due_ms() is None
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.at_ms, where.detail) == ("settled", T0 + 10, f"{batch.batch_id}|{outcome}")
    for name in ("mailbox", "wakes", "outputs", "frozen", "batches", "parked", "blocks", "leases", "bell", "look"):
        assert not rig.client.exists(rig.key(name)), name
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["token"], record["batch"], record["at"]) == (outcome, str(lease.token), batch.batch_id, T0 + 10)
    assert record["detail"] == {"note": "done"}
    counters = rig.client.hgetall(rig.key("counters"))
    assert counters == {"deposited": "2", "settled": "2", f"heartbeats:{outcome}": "1"}
    balance = rig.ledger.balance()
    assert (balance.settled, balance.pending, balance.running) == (2, 0, 0)


def test_what_came_meanwhile_rings_in_the_same_step(rig: Rig) -> None:
    """An arrival between the last look and the release would be stranded if these were two steps."""
    lease, batch = rig.running("c1")
    rig.wake("c2")
    assert rig.settle(lease, batch) == Ended("SETTLED", ring=True, count=1)
    assert rig.due_ms() == T0
    assert rig.sweep() == (2000, [])


def test_what_is_due_later_does_not_ring(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.wake("c2", delay_ms=250)
    assert rig.settle(lease, batch).ring is False
    assert rig.sweep() == (250, [])


def test_already_settled(rig: Rig) -> None:
    """ALREADY_SETTLED: the reply was lost, and another may hold the agent by now."""
    lease, batch = rig.running("c1")
    rig.settle(lease, batch)
    with rig.unchanged():
        assert rig.settle(lease, batch) == Ended("ALREADY_SETTLED")
    rig.wake("c2")
    rig.begun(rig.leased("h2").lease)
    with rig.unchanged():
        assert rig.settle(lease, batch) == Ended("ALREADY_SETTLED")


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: a late holder is never told that it succeeded."""
    lease, batch = rig.taken_over()
    with rig.unchanged():
        assert rig.settle(lease, batch) == Ended("STALE_TOKEN")
        assert rig.settle(lease.model_copy(update={"holder": "h2"}), batch) == Ended("STALE_TOKEN")
    assert rig.fate("c1") == "pending"


def test_a_late_holder_whose_batch_another_settled(rig: Rig) -> None:
    lease, batch = rig.taken_over()
    new = rig.leased("h2", "n2").lease
    assert rig.settle(new, rig.resumed(new, batch.batch_id)).status == "SETTLED"
    with rig.unchanged():
        assert rig.settle(lease, batch) == Ended("STALE_TOKEN")


def test_an_expired_lease_that_nobody_took_settles(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.now_ms += 10 * rig.limits.ttl_ms
    assert rig.settle(lease, batch).status == "SETTLED"


def test_no_batch(rig: Rig) -> None:
    """NO_BATCH: this lease runs another one, or none yet."""
    rig.wake("c1")
    lease = rig.leased().lease
    with rig.unchanged():
        assert rig.mailbox.settle(lease, "ops-1", "ran", {}) == Ended("NO_BATCH")
    rig.begun(lease)
    with rig.unchanged():
        assert rig.mailbox.settle(lease, "ops-1", "ran", {}) == Ended("NO_BATCH")


def test_another_session_follows(rig: Rig) -> None:
    """One heartbeat serves one session; the others follow one after another."""
    rig.wake("c2", session=SIDE)
    lease, batch = rig.running("c1")
    assert ids(batch) == ["c1"]
    assert rig.settle(lease, batch).ring is True
    assert ids(rig.begun(rig.leased().lease, SIDE)) == ["c2"]
