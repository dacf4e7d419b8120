"""dissolve: the target was busy, the batch never reached the model, and nothing but time has passed."""

from __future__ import annotations

import pytest

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, MAIN, SIDE, T0, Rig, ids


def dissolve(rig: Rig, *completion_ids: str, wait_ms: int = 1000, all_ms: int = 1000, rest_ms: int = 1000, intent: str = "event") -> str:
    lease, batch = rig.running(*completion_ids, intent=intent)
    assert rig.mailbox.dissolve(lease, batch.batch_id, wait_ms, all_ms, rest_ms, "active-run").status == "DISSOLVED"
    return batch.batch_id


def test_dissolved(rig: Rig) -> None:
    """DISSOLVED: pending again in the old order, no attempt and no start; the next begin makes a new batch."""
    rig.wake("c0", "manual", output="zero")
    lease, batch = rig.running("c1", "c2")
    rig.wake("c3")
    rig.now_ms += 10
    assert rig.mailbox.dissolve(lease, batch.batch_id, 1000, 1000, 1000, "active-run") == Ended("DISSOLVED", ring=False)
    assert rig.starts() == []
    assert rig.fate("c1") == "pending"
    assert rig.due_ms() == T0 + 1010
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]) == ("busy", {"reason": "active-run"})
    assert rig.client.hget(rig.key("counters"), "heartbeats:busy") == "1"
    rig.now_ms += 1000
    again = rig.begun(rig.leased().lease)
    assert again.batch_id != batch.batch_id
    assert (again.attempt, again.failures, again.deliveries) == (1, 0, 1)
    assert ids(again) == ["c0", "c1", "c2", "c3"]
    assert again.outputs == {"c0": "zero"}


@pytest.mark.parametrize("intent", ["event", "immediate", "manual"])
def test_a_sooner_wake_joins_the_block_and_does_not_shorten_it(rig: Rig, intent: str) -> None:
    dissolve(rig, "c1")
    assert rig.wake("c2", intent).rest == [0]
    assert rig.due_ms() == T0 + 1000
    rig.now_ms += 999
    assert not hasattr(rig.acquire(), "lease")
    rig.now_ms += 1
    assert ids(rig.begun(rig.leased().lease)) == ["c1", "c2"]


def test_a_longer_retry_after_does_not_bind_a_person(rig: Rig) -> None:
    """The first second binds everyone."""
    dissolve(rig, "c1", wait_ms=60_000, all_ms=1000, rest_ms=60_000)
    rig.wake("c2", "immediate")
    assert rig.due_ms() == T0 + 60_000
    rig.wake("c3", "manual")
    assert rig.due_ms() == T0 + 1000
    rig.now_ms += 1000
    leased = rig.leased()
    assert [lane.intent for lane in leased.snapshot.lanes] == ["manual"]
    assert ids(rig.begun(leased.lease)) == ["c1", "c2", "c3"]


def test_another_target_is_not_blocked(rig: Rig) -> None:
    dissolve(rig, "c1", wait_ms=60_000, all_ms=60_000, rest_ms=60_000)
    assert rig.wake("c2", session=SIDE).rest == [1]
    leased = rig.leased()
    assert [lane.session_key for lane in leased.snapshot.lanes] == [SIDE]
    rig.settle(leased.lease, rig.begun(leased.lease, SIDE))
    assert rig.due_ms() == T0 + 60_000


def test_a_wait_binds_these_wakes_only(rig: Rig) -> None:
    """`preempted`, or a scheduled wake: a newer one of the target runs at its own time."""
    dissolve(rig, "c1", wait_ms=60_000, all_ms=0, rest_ms=0)
    assert not rig.client.exists(rig.key("blocks"))
    assert rig.due_ms() == T0 + 60_000
    rig.wake("c2", delay_ms=250)
    assert rig.due_ms() == T0 + 250


def test_a_rider_goes_back_to_riding(rig: Rig) -> None:
    """It does not become a wake because the one that it rode with met a busy target."""
    age_ms = rig.limits.rider_age_ms
    rig.wake("c0", "rider", delay_ms=age_ms)
    dissolve(rig, "c1", wait_ms=60_000, all_ms=0, rest_ms=0)
    assert rig.client.zscore(rig.key("lane_rider"), MAIN) == T0 + age_ms
    rig.now_ms += 60_000
    assert ids(rig.begun(rig.leased().lease)) == ["c0", "c1"]


def test_a_rider_that_is_over_its_age_waits_like_the_others(rig: Rig) -> None:
    """Else it would meet the busy target again at once, and again; a busy start leaves no mark that could stop it."""
    rig.wake("c0", "rider", delay_ms=rig.limits.rider_age_ms)
    rig.now_ms += rig.limits.rider_age_ms
    lease = rig.leased().lease
    assert rig.mailbox.dissolve(lease, rig.begun(lease).batch_id, 60_000, 0, 0, "preempted").ring is False
    assert rig.due_ms() == rig.now_ms + 60_000


def test_a_block_ends_with_the_next_begin(rig: Rig) -> None:
    dissolve(rig, "c1")
    rig.now_ms += 1000
    rig.settle(*rig.running("c2"))
    assert not rig.client.exists(rig.key("blocks"))
    assert rig.wake("c3").rest == [1]


def test_busy_forgets_its_own_start_only(rig: Rig) -> None:
    """A failed attempt of the same batch was a start and stays one."""
    rig.settle(*rig.running("c0"))
    batch = rig.parked("c1", delay_ms=5)
    rig.now_ms += 5
    lease = rig.leased().lease
    rig.resumed(lease, batch.batch_id)
    assert len(rig.starts()) == 3
    rig.mailbox.dissolve(lease, batch.batch_id, 0, 0, 0, "active-run")
    assert rig.starts()[1:] == [f"{T0}:{batch.batch_id}"]


def test_busy_after_a_take_over_forgets_the_start_that_both_share(rig: Rig) -> None:
    _, batch = rig.taken_over()
    lease = rig.leased("h2", "n2").lease
    rig.resumed(lease, batch.batch_id)
    rig.mailbox.dissolve(lease, batch.batch_id, 0, 0, 0, "active-run")
    assert rig.starts() == []
    assert ids(rig.begun(rig.leased().lease)) == ["c1"]


def test_due_at_once_rings(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.wake("c2", session=SIDE)
    assert rig.mailbox.dissolve(lease, batch.batch_id, 1000, 1000, 1000, "active-run").ring is True


def test_already_settled(rig: Rig) -> None:
    """ALREADY_SETTLED: nothing comes back twice."""
    lease, batch = rig.running()
    rig.mailbox.dissolve(lease, batch.batch_id, 1000, 1000, 1000, "active-run")
    rig.now_ms += 500
    with rig.unchanged():
        assert rig.mailbox.dissolve(lease, batch.batch_id, 1000, 1000, 1000, "active-run") == Ended("ALREADY_SETTLED")


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: a late holder takes nothing from the new one."""
    lease, batch = rig.taken_over()
    with rig.unchanged():
        assert rig.mailbox.dissolve(lease, batch.batch_id, 0, 0, 0, "active-run") == Ended("STALE_TOKEN")


def test_no_batch(rig: Rig) -> None:
    """NO_BATCH: it is not this lease's."""
    lease, _ = rig.running()
    with rig.unchanged():
        assert rig.mailbox.dissolve(lease, "ops-1", 0, 0, 0, "active-run") == Ended("NO_BATCH")
    assert lease.agent_id == AGENT
    assert rig.client.zscore(rig.key("lane_event"), MAIN) is None
