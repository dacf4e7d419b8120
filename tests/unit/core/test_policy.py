"""When an agent runs: the cooldown table, the order of targets, and what follows from an outcome."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.guards import NotBefore, cooldown, due_delay_ms, flood_until
from dispatcher.core.models import Busy, Failed, Intent, Outcome, Ran, Skipped
from dispatcher.core.policy import BuryParked, Defer, RunParked, RunTarget, decide
from dispatcher.core.rules import AGENT_DISABLED, FLOOD, MIN_SPACING, RIDER, Rules
from dispatcher.core.sequel import Bury, Dissolve, Retry, Sequel, Settle, Wait, retry_delay_ms, sequel
from dispatcher.core.snapshot import Deferral, Lane, Parked, Snapshot

NOW = 1_000_000
MAIN, SIDE = "agent:ops:main", "agent:ops:side"
FIVE = (950_000, 960_000, 970_000, 980_000, 990_000)


def lane(intent: str = "event", session: str = MAIN, *, due: int = NOW, at: int = NOW - 10, seq: int = 1, blocked: int = 0) -> Lane:
    return Lane(intent, session, due, 1, at, seq, blocked)


def parked(
    batch: str = "ops-1",
    session: str = MAIN,
    *,
    not_before: int = NOW,
    urgent: str | None = None,
    bypass: bool = False,
    deliveries: int = 1,
    cancelled: bool = False,
) -> Parked:
    return Parked(batch, session, not_before, NOW - 50, "event", urgent, 1, 1, deliveries, bypass, cancelled)


def snapshot(*lanes: Lane, parked: tuple[Parked, ...] = (), starts: tuple[int, ...] = ()) -> Snapshot:
    return Snapshot(NOW, 9, starts, lanes, parked)


@pytest.mark.parametrize(
    ("intent", "starts", "last", "next_due", "expected"),
    [
        (Intent.MANUAL, FIVE, 990_000, None, None),
        (Intent.IMMEDIATE, FIVE, 990_000, None, NotBefore(1_010_001, FLOOD)),
        (Intent.IMMEDIATE, FIVE[1:], 990_000, None, None),
        (Intent.SCHEDULED, (), 990_000, NOW + 1, NotBefore(NOW + 1, "not-due")),
        (Intent.SCHEDULED, (), 999_999, NOW, None),
        (Intent.EVENT, (), None, None, None),
        (Intent.EVENT, (), NOW - 29_999, None, NotBefore(NOW + 1, MIN_SPACING)),
        (Intent.EVENT, (), NOW - 30_000, None, None),
        (Intent.TASK, (), NOW - 1, None, NotBefore(NOW + 29_999, MIN_SPACING)),
    ],
)
def test_the_cooldown_table(
    intent: str, starts: tuple[int, ...], last: int | None, next_due: int | None, expected: NotBefore | None
) -> None:
    """First match decides."""
    assert cooldown(intent, NOW, starts, last, next_due) == expected


def test_a_start_exactly_one_window_ago_still_counts() -> None:
    """And the order of the starts does not matter."""
    assert flood_until((NOW - 60_000, *FIVE[1:]), NOW, 5, 60_000) == NOW + 1
    assert flood_until((NOW - 60_001, *FIVE[1:]), NOW, 5, 60_000) is None
    assert flood_until(reversed(FIVE), NOW, 5, 60_000) == 1_010_001


@pytest.mark.parametrize("off", [0, -1])
def test_zero_or_less_switches_a_guard_off(off: int) -> None:
    """Spacing, flood guard and window each."""
    rules = Rules(min_spacing_ms=off, flood_starts=off, window_ms=off)
    assert cooldown(Intent.EVENT, NOW, FIVE, NOW, None, rules) is None
    assert due_delay_ms(Intent.EVENT, rules) == 0


def test_urgent_wakes_have_no_window_and_riders_a_day() -> None:
    """The window is for ordinary wakes."""
    assert [due_delay_ms(i, Rules()) for i in (Intent.MANUAL, Intent.IMMEDIATE, Intent.EVENT, RIDER)] == [0, 0, 250, 86_400_000]


def test_the_most_urgent_target_goes_first_then_the_oldest() -> None:
    """Manual before event, whatever their age; among events the older."""
    old, young = lane(at=NOW - 500, seq=1), lane(session=SIDE, at=NOW - 10, seq=2)
    assert decide(snapshot(young, old), Rules()) == RunTarget(MAIN, ("manual", "immediate", "event", "scheduled", "deep", "rider"))
    urgent = lane("manual", SIDE, at=NOW, seq=3)
    chosen = decide(snapshot(old, urgent), Rules())
    assert isinstance(chosen, RunTarget)
    assert chosen.session_key == SIDE


def test_who_waited_the_maximum_goes_before_a_more_urgent_wake() -> None:
    """Age wins over urgency after max_wait_ms, so that nothing starves."""
    chosen = decide(snapshot(lane(at=NOW - 60_000), lane("manual", SIDE, at=NOW - 1)), Rules())
    assert isinstance(chosen, RunTarget)
    assert chosen.session_key == MAIN


def test_task_and_event_of_one_target_are_two_turns_the_older_first() -> None:
    """A task turn takes only tasks along."""
    assert decide(snapshot(lane(seq=2), lane("task", seq=1)), Rules()) == RunTarget(MAIN, ("task", "deep", "rider"))


def test_a_lane_that_is_not_due_or_blocked_does_not_run() -> None:
    """The due index looks again; nothing is deferred."""
    assert decide(snapshot(lane(due=NOW + 1), lane(session=SIDE, blocked=NOW + 1)), Rules()) == Defer(())


def test_spacing_defers_events_and_lets_manual_through() -> None:
    """A deferral binds one intent."""
    assert decide(snapshot(lane(), starts=(NOW - 1,)), Rules()) == Defer((Deferral("event", NOW + 29_999, MIN_SPACING),))
    assert isinstance(decide(snapshot(lane(), lane("manual", SIDE), starts=(NOW - 1,)), Rules()), RunTarget)


def test_a_retry_obeys_the_flood_guard_but_not_spacing() -> None:
    """A take-over obeys neither: it is the same start. A person waits for neither."""
    assert decide(snapshot(parked=(parked(),), starts=(NOW - 1,)), Rules()) == RunParked("ops-1")
    assert decide(snapshot(parked=(parked(),), starts=FIVE), Rules()) == Defer((Deferral("batch:ops-1", 1_010_001, FLOOD),))
    assert decide(snapshot(parked=(parked(bypass=True),), starts=FIVE), Rules()) == RunParked("ops-1")
    assert decide(snapshot(parked=(parked(urgent="manual"),), starts=FIVE), Rules()) == RunParked("ops-1")


def test_a_batch_that_lost_its_worker_too_often_is_set_aside() -> None:
    """Twenty deliveries."""
    assert decide(snapshot(parked=(parked(deliveries=20),)), Rules()) == BuryParked("ops-1", "worker-lost")


def test_a_batch_that_was_cancelled_does_not_run_again() -> None:
    """Whatever guards bind, once its backoff is over; a pause holds it back as everything."""
    assert decide(snapshot(parked=(parked(cancelled=True),), starts=FIVE), Rules()) == BuryParked("ops-1", "cancelled")


def test_a_disabled_agent_is_deferred_as_a_whole() -> None:
    """Its work stays, visible."""
    decision = decide(snapshot(lane("manual"), parked=(parked(),)), Rules(enabled=False))
    assert isinstance(decision, Defer)
    assert {d.reason for d in decision.deferrals} == {AGENT_DISABLED}
    assert {d.kind for d in decision.deferrals} == {"manual", "immediate", "event", "task", "scheduled", "deep", "batch:ops-1"}


@pytest.mark.parametrize(
    ("outcome", "intent", "expected"),
    [
        (Ran(), "event", Settle("ran")),
        (Skipped(reason="nothing new"), "event", Settle("skipped")),
        (Busy(), "event", Dissolve(1_000, 1_000, 1_000, "requests-in-flight")),
        (Busy(reason="active-run"), "scheduled", Dissolve(60_000, 0, 0, "active-run")),
        (Busy(reason="active-run"), "task", Dissolve(60_000, 0, 0, "active-run")),
        (Busy(reason="cron-in-progress"), "scheduled", Dissolve(1_000, 1_000, 1_000, "cron-in-progress")),
        (Busy(reason="channel-not-ready"), "event", Dissolve(60_000, 0, 0, "channel-not-ready")),
        (Busy(retry_after_ms=20_000), "event", Dissolve(20_000, 1_000, 20_000, "requests-in-flight")),
        (Failed(error="400", final=True), "event", Bury("refused-by-runner", "400")),
    ],
)
def test_what_follows_from_an_outcome(outcome: Outcome, intent: str, expected: Sequel) -> None:
    """Busy leaves no mark; a final failure is set aside at once."""
    assert sequel(outcome, intent, 1, 0, Rules(), 0.5) == expected


def test_a_busy_retry_keeps_its_batch() -> None:
    """An earlier attempt may have reached the model; a receiver that deduplicates must see the same batch id."""
    assert sequel(Busy(), "event", 2, 1, Rules(), 0.5) == Wait(1_000, "requests-in-flight")


def test_failures_are_retried_with_backoff_then_set_aside() -> None:
    """2 s, 4 s, 8 s, 16 s, then dead letters."""
    answers = [sequel(Failed(error="boom"), "event", failures + 1, failures, Rules(), 0.5) for failures in range(5)]
    assert answers == [*(Retry(delay, "boom") for delay in (2_000, 4_000, 8_000, 16_000)), Bury("attempts-exhausted", "boom")]


def test_retries_are_spread() -> None:
    """Batches that failed together are not tried again together."""
    assert [retry_delay_ms(0, Rules(), jitter) for jitter in (0, 0.5, 0.75)] == [1_600, 2_000, 2_200]


@given(failures=st.integers(0, 200), jitter=st.floats(0, 1, exclude_max=True))
def test_a_retry_never_waits_longer_than_its_maximum(failures: int, jitter: float) -> None:
    """However often it failed."""
    assert 0 < retry_delay_ms(failures, Rules(), jitter) <= 600_000


lanes = st.builds(
    lane,
    st.sampled_from(["manual", "immediate", "event", "task", "scheduled", RIDER]),
    st.sampled_from([MAIN, SIDE]),
    due=st.integers(NOW - 5, NOW + 5),
    at=st.integers(NOW - 90_000, NOW),
    seq=st.integers(1, 99),
    blocked=st.integers(NOW - 5, NOW + 5),
)
starts = st.lists(st.integers(NOW - 70_000, NOW), max_size=8).map(lambda s: tuple(sorted(s)))


@given(st.lists(lanes, max_size=6), starts)
def test_every_deferral_ends_later_than_now_and_a_due_lane_is_never_forgotten(some: list[Lane], recent: tuple[int, ...]) -> None:
    """Either something runs, or every lane that is due has a deferral with a time."""
    decision = decide(snapshot(*some, starts=recent), Rules())
    due = [one for one in some if one.due_ms <= NOW and one.blocked_until_ms <= NOW]
    if isinstance(decision, Defer):
        assert all(d.until_ms > NOW for d in decision.deferrals)
        assert {"event" if one.intent == RIDER else one.intent for one in due} == {d.kind for d in decision.deferrals}
    else:
        assert due


@given(st.lists(lanes, min_size=1, max_size=6, unique_by=lambda one: one.oldest_seq), starts, st.randoms())
def test_the_order_of_the_lanes_does_not_matter(some: list[Lane], recent: tuple[int, ...], chance: Random) -> None:
    """A decision depends on what waits, not on how it was listed."""
    shuffled = chance.sample(some, len(some))
    first, second = (decide(snapshot(*order, starts=recent), Rules()) for order in (some, shuffled))
    if isinstance(first, Defer):
        assert isinstance(second, Defer)
        assert set(first.deferrals) == set(second.deferrals)
    else:
        assert first == second


@given(st.lists(lanes, max_size=5), starts)
def test_a_manual_wake_that_is_due_always_runs_something(some: list[Lane], recent: tuple[int, ...]) -> None:
    """No guard holds back a person."""
    assert isinstance(decide(snapshot(*some, lane("manual", blocked=0), starts=recent), Rules()), RunTarget)
