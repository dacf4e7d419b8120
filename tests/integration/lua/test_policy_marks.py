"""What steps note for the policy: quiet time, depth of chains, starts by hour, deferrals of batches, how late work is."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.core.policy import Admission, decide, no_place
from dispatcher.core.rules import HOUR_MS, RELEASE, Rules
from dispatcher.core.snapshot import Deferral, Snapshot
from dispatcher.store.mailbox import Begun, Leased
from tests.support.store import AGENT, LIMIT_MS, MAIN, POOL, SIDE, T0, Rig

QUIET = {"quiet_ms": 2_000, "max_wait_ms": 5_000}


def defer(rig: Rig, leased: Leased, kind: str, ms: int, reason: str) -> None:
    """Defers one kind for a reason."""
    deferral = Deferral(kind, rig.now_ms + ms, reason)
    assert rig.mailbox.defer(leased.lease, leased.snapshot.seq, [deferral]).status == "DEFERRED"


def spent(rig: Rig) -> tuple[tuple[int, int], ...]:
    """What acquire says of the starts by hour."""
    rig.wake(f"look-{rig.now_ms}", "manual")
    leased = rig.leased()
    rig.settle(leased.lease, rig.begun(leased.lease))
    return leased.snapshot.spent


def test_each_arrival_prolongs_the_quiet_time_up_to_the_maximum(rig: Rig) -> None:
    """Two seconds without a new one, at most five after the first."""
    due = []
    for n in range(5):
        rig.wake(f"c{n}", delay_ms=2_000, **QUIET)
        due.append(rig.due_ms())
        rig.now_ms += 1_500
    assert due == [T0 + 2_000, T0 + 3_500, T0 + 5_000, T0 + 5_000, T0 + 6_000]


def test_quiet_time_after_the_maximum_is_over_moves_nothing_into_the_past(rig: Rig) -> None:
    """The oldest waited longer than its maximum, held back by a deferral: what comes now is due now."""
    rig.wake("c1", delay_ms=2_000, **QUIET)
    rig.now_ms += 60_000
    rig.wake("c2", delay_ms=2_000, **QUIET)
    assert rig.due_ms() == T0 + 60_000


def test_quiet_time_is_of_one_lane(rig: Rig) -> None:
    rig.wake("c1", delay_ms=2_000, **QUIET)
    rig.now_ms += 1_000
    rig.wake("c2", session=SIDE, delay_ms=2_000, **QUIET)
    assert rig.due_ms() == T0 + 2_000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from(["manual", "immediate", "event", "task", "scheduled", "rider", "deep"]), st.integers(0, 9_000)),
        min_size=1,
        max_size=7,
    ),
    deferred=st.integers(0, 9_000),
)
def test_one_more_wake_only_ever_moves_the_due_time_earlier(rig: Rig, arrivals: list[tuple[str, int]], deferred: int) -> None:
    """Without a quiet time, whatever waits and whatever is deferred; and a manual one is due now."""
    rig.client.flushdb()
    rig.inbox.prepare()
    rig.now_ms = T0
    rig.wake("first", delay_ms=0)
    rig.defer(rig.leased(), ("event", deferred), ("immediate", deferred // 2))
    before = rig.due_ms()
    for n, (lane, delay_ms) in enumerate(arrivals):
        rig.wake(f"c{n}", lane, delay_ms=delay_ms)
        due = rig.due_ms()
        assert due is not None
        assert before is not None
        assert T0 <= due <= before
        before = due
    rig.wake("person", "manual")
    assert rig.due_ms() == T0


def test_a_deep_wake_has_a_lane_of_its_own_and_its_depth_is_known(rig: Rig) -> None:
    """The policy slows it down; an ordinary wake of the session takes it along."""
    rig.wake("c1", "deep", depth=9)
    rig.wake("c2", "deep", depth=11)
    leased = rig.leased()
    assert [(lane.intent, lane.waiting) for lane in leased.snapshot.lanes] == [("deep", 2)]
    assert leased.snapshot.depth == 11
    rig.defer(leased, ("deep", 60_000))
    assert rig.due_ms() == T0 + 60_000
    rig.wake("c3")
    lease = rig.leased().lease
    batch = rig.begun(lease, intents=("event", "deep"))
    assert [wake.wake_id for wake in batch.wakes] == ["c1", "c2", "c3"]
    assert batch.wakes[1].lineage
    assert batch.wakes[1].lineage.depth == 11


def test_starts_are_counted_by_hour_and_busy_forgets_its_own(rig: Rig) -> None:
    """25 hours are kept, so that a day is complete."""
    hour = T0 // HOUR_MS
    lease, batch = rig.running("c1")
    rig.settle(lease, batch)
    lease, batch = rig.running("c2")
    rig.mailbox.dissolve(lease, batch.batch_id, 0, 0, 0, "active-run")
    assert spent(rig) == ((hour, 1),)
    rig.now_ms += HOUR_MS
    assert spent(rig) == ((hour, 3),)
    rig.now_ms += 23 * HOUR_MS
    assert spent(rig) == ((hour, 3), (hour + 1, 1))
    rig.now_ms += 2 * HOUR_MS
    assert spent(rig) == ((hour, 3), (hour + 1, 1), (hour + 24, 1))
    rig.now_ms += 1
    assert spent(rig) == ((hour + 24, 1), (hour + 26, 1))


def test_a_busy_answer_in_the_next_hour_forgets_the_start_of_its_own_hour(rig: Rig) -> None:
    hour = T0 // HOUR_MS
    lease, batch = rig.running("c1")
    rig.now_ms += HOUR_MS
    rig.mailbox.dissolve(lease, batch.batch_id, 0, 0, 0, "active-run")
    assert spent(rig) == ((hour, 0),)


def test_a_retry_counts_and_a_take_over_does_not(rig: Rig) -> None:
    hour = T0 // HOUR_MS
    batch = rig.parked("c1", delay_ms=0)
    lease = rig.leased().lease
    rig.resumed(lease, batch.batch_id)
    rig.now_ms += rig.limits.ttl_ms
    lease = rig.leased("h2").lease
    rig.settle(lease, rig.resumed(lease, batch.batch_id))
    assert spent(rig) == ((hour, 2),)


def begun_to_bury(rig: Rig) -> tuple[Leased, str]:
    rig.wake("c1")
    leased = rig.leased()
    begun = rig.mailbox.begin(leased.lease, MAIN, ("event",), 10, 0, counts=False)
    assert isinstance(begun, Begun)
    return leased, begun.batch.batch_id


def test_what_is_begun_to_be_buried_leaves_no_start(rig: Rig) -> None:
    """No mark on cooldown, budget, or the number of heartbeats."""
    leased, batch_id = begun_to_bury(rig)
    assert rig.mailbox.bury(leased.lease, batch_id, "budget", "").status == "BURIED"
    assert rig.starts() == []
    assert rig.client.hmget(rig.key("state"), "spent", "heartbeats") == [None, None]
    assert spent(rig) == ()


@pytest.mark.parametrize("how", ["handed-back", "lost", "moved"])
def test_what_was_begun_to_be_buried_and_was_not_obeys_the_guards(rig: Rig, how: Literal["handed-back", "lost", "moved"]) -> None:
    """The dead letters are full, or the worker died: it has no start to go on with, and its first attempt counts as one."""
    leased, batch_id = begun_to_bury(rig)
    pool = POOL
    if how == "handed-back":
        assert rig.mailbox.park(leased.lease, batch_id, "handed-back", 0, "budget").status == "PARKED"
    elif how == "moved":
        rig.now_ms += rig.limits.ttl_ms + 60_000
        pool = "solo"
        assert rig.mailbox.move(AGENT, POOL, pool, pool) == "MOVED"
    else:
        rig.now_ms += rig.limits.ttl_ms
    again = rig.leased("h2", pool=pool)
    (shown,) = again.snapshot.parked
    assert (shown.batch_id, shown.bypass) == (batch_id, False)
    begun = rig.mailbox.resume(again.lease, batch_id, LIMIT_MS)
    assert isinstance(begun, Begun)
    assert rig.client.hget(rig.key("state", pool), "spent").endswith(":1")


def test_who_waits_for_the_bounded_release_stays_late(rig: Rig) -> None:
    """Else the second look would find it in time, and the whole outage would be released at once."""
    rules = Rules(release_per_s=1)
    rig.wake("c1")
    batch = rig.parked("c2", session=SIDE, delay_ms=1_000)
    rig.now_ms += HOUR_MS
    for _ in range(3):
        leased = rig.leased()
        assert leased.snapshot.due_ms == T0
        rig.mailbox.defer(leased.lease, leased.snapshot.seq, no_place(leased.snapshot, Admission(2, T0, late=True), 5_000))
        rig.now_ms += 5_000
    lease = rig.leased().lease
    rig.settle(lease, rig.begun(lease))
    late = rig.leased().snapshot
    assert late.due_ms == T0 + 1_000  # the parked batch, since its retry could have run
    assert decide(late, rules).batch_id == batch.batch_id  # type: ignore[union-attr]  # the test fails if it is no parked batch


def test_any_other_deferral_does_not_make_late(rig: Rig) -> None:
    """Work that was held back and may run now is in time."""
    rig.wake("c1")
    rig.now_ms += HOUR_MS
    defer(rig, rig.leased(), "event", 5_000, "quiet-hours")
    rig.now_ms += 5_000
    assert rig.leased().snapshot.due_ms == rig.now_ms


def test_a_batch_that_starts_forgets_why_it_waited(rig: Rig) -> None:
    """The next failure is late by its own backoff only."""
    batch = rig.parked("c1", delay_ms=0)
    defer(rig, rig.leased(), f"batch:{batch.batch_id}", 5_000, RELEASE)
    rig.now_ms += 5_000
    leased = rig.leased()
    assert leased.snapshot.due_ms == T0
    rig.resumed(leased.lease, batch.batch_id)
    rig.mailbox.park(leased.lease, batch.batch_id, "failed", 1_000, "boom")
    rig.now_ms += 1_000
    snapshot: Snapshot = rig.leased().snapshot
    assert snapshot.due_ms == rig.now_ms
