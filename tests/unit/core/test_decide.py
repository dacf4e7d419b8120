"""The decision with everything that operators, clocks, budgets and caps add to it."""

from __future__ import annotations

import json

import pytest

from dispatcher.core.policy import (
    Admission,
    BuryParked,
    BuryTarget,
    Defer,
    RunParked,
    RunTarget,
    SetTick,
    admission,
    decide,
    holding,
    next_tick,
    no_place,
)
from dispatcher.core.rules import (
    ABANDONED_MS,
    AGENT_DISABLED,
    BUDGET,
    CAP,
    DEEP,
    DRAINING,
    HOUR_MS,
    KINDS,
    LINEAGE,
    LOOK_AGAIN_MS,
    PAUSED,
    QUIET_HOURS,
    RELEASE,
    Rules,
)
from dispatcher.core.schedule import ActiveHours
from dispatcher.core.snapshot import Deferral, Hold, Lane, Parked, Snapshot, Tick, covers, holds_from, tick_from

DAY0 = 1_800_000_000_000 // 86_400_000 * 86_400_000  # midnight UTC
NOW = DAY0 + 12 * HOUR_MS
MAIN = "agent:ops:main"
NIGHT = Rules(hours=ActiveHours.parse("20:00", "22:00"))
OPENING = DAY0 + 20 * HOUR_MS
HALF_HOURLY = Rules(interval_ms=HOUR_MS // 2)
SPENT = ((NOW // HOUR_MS, 5),)


def lane(intent: str = "event", *, at: int = NOW - 10, due: int = NOW, session: str = MAIN) -> Lane:
    return Lane(intent, session, due, 1, at, 1, 0)


def parked(*, created: int = NOW - 50, urgent: str | None = None, bypass: bool = False, intent: str = "event") -> Parked:
    return Parked("ops-1", MAIN, NOW, created, intent, urgent, 1, 1, 1, bypass)


def state(*lanes: Lane, **other: object) -> Snapshot:
    return Snapshot(NOW, 9, (), lanes, ())._replace(real_ms=NOW, **other)  # type: ignore[arg-type]  # fields by name


def hold(what: str = PAUSED, until: int = 0, selector: str = "ops") -> Hold:
    return Hold(selector, what, "why", "ada", NOW - 1, until)


def deferred(decision: object) -> dict[str, tuple[int, str]]:
    assert isinstance(decision, Defer)
    return {d.kind: (d.until_ms, d.reason) for d in decision.deferrals}


def test_a_paused_agent_runs_nothing_not_even_for_a_person() -> None:
    """Every kind and every batch that is due is bound, until somebody looks again; work and tick stay."""
    bound = deferred(decide(state(lane("manual"), parked=(parked(),), holds=(hold(),), tick=Tick(NOW - 1, "x")), HALF_HOURLY))
    assert bound == dict.fromkeys([*KINDS, "batch:ops-1"], (NOW + LOOK_AGAIN_MS, PAUSED))


def test_a_pause_ends_by_itself() -> None:
    """The look is when it ends, in slot time; then nothing binds any more."""
    assert set(deferred(decide(state(lane(), holds=(hold(until=NOW + 5_000),)), Rules())).values()) == {(NOW + 5_000, PAUSED)}
    ahead = state(lane(), holds=(hold(until=NOW + 5_000),))._replace(real_ms=NOW - 60_000)
    assert set(deferred(decide(ahead, Rules())).values()) == {(NOW + 65_000, PAUSED)}
    assert isinstance(decide(state(lane(), holds=(hold(until=NOW),)), Rules()), RunTarget)


def test_the_strictest_hold_binds() -> None:
    """Draining before paused, open before limited, the longer of two."""
    short, long, open_end, drain = hold(until=NOW + 1), hold(until=NOW + 9), hold(), hold(DRAINING, NOW + 1)
    assert holding(state(holds=(short, long))) == long
    assert holding(state(holds=(open_end, long))) == open_end
    assert holding(state(holds=(open_end, drain))) == drain
    assert holding(state()) is None
    assert holding(state(holds=(hold(until=NOW),))) is None


def test_what_a_hold_covers() -> None:
    """One agent, a pattern, a pool; of all others it says nothing."""
    assert [covers(s, "lab-1", "research") for s in ("lab-1", "lab-*", "pool:research", "*")] == [True] * 4
    assert [covers(s, "lab-1", "research") for s in ("lab", "ops-*", "pool:agents", "pool:*", "research")] == [False] * 5
    raw = json.dumps({"what": PAUSED, "reason": "r", "by": "b", "since": 1, "until": 2})
    found = holds_from("lab-1", "research", raw, ["ops", raw, "lab-*", raw])
    assert found == (Hold("lab-1", PAUSED, "r", "b", 1, 2), Hold("lab-*", PAUSED, "r", "b", 1, 2))


def test_draining_sets_everything_aside_then_waits() -> None:
    """Batches first, one at a time; a disabled agent that is drained as well."""
    rules, holds = Rules(), (hold(DRAINING),)
    assert decide(state(lane(), parked=(parked(),), holds=holds), rules) == BuryParked("ops-1", "drained")
    assert decide(state(lane("manual"), holds=holds), Rules(enabled=False)) == BuryTarget(MAIN, ("manual",), "drained")
    assert set(deferred(decide(state(holds=holds), rules)).values()) == {(NOW + LOOK_AGAIN_MS, DRAINING)}


def test_a_disabled_agent_keeps_its_work_for_seven_days() -> None:
    """Then it becomes dead letters; its cadence goes at once."""
    off, week_ago = Rules(enabled=False), NOW - ABANDONED_MS
    assert decide(state(lane(at=week_ago), tick=Tick(NOW, "x")), off) == SetTick(None, False, AGENT_DISABLED)
    assert set(deferred(decide(state(lane(at=week_ago + 1)), off)).values()) == {(NOW + LOOK_AGAIN_MS, AGENT_DISABLED)}
    assert decide(state(lane(at=week_ago)), off) == BuryTarget(MAIN, ("event",), AGENT_DISABLED)
    assert decide(state(parked=(parked(created=week_ago),)), off) == BuryParked("ops-1", AGENT_DISABLED)


def test_quiet_hours_keep_events_until_the_opening_and_let_a_person_through() -> None:
    bound = deferred(decide(state(lane(), lane("task"), lane("scheduled"), lane(DEEP)), NIGHT))
    assert bound == dict.fromkeys(["event", "task", "scheduled", DEEP], (OPENING, QUIET_HOURS))
    for urgent in ("manual", "immediate"):
        assert decide(state(lane(urgent), lane()), NIGHT) == RunTarget(MAIN, ("manual", "immediate", "event", "scheduled", "deep", "rider"))
    assert isinstance(decide(state(lane())._replace(real_ms=OPENING), NIGHT), RunTarget)


def test_quiet_hours_are_those_of_the_wall_not_of_the_slot() -> None:
    """A clock that stepped back an hour: the opening is an hour later in slot time."""
    assert deferred(decide(state(lane())._replace(real_ms=NOW - HOUR_MS), NIGHT)) == {"event": (OPENING + HOUR_MS, QUIET_HOURS)}


def test_quiet_hours_and_batches_that_wait_for_a_retry() -> None:
    """A take-over is the same start and goes on; what a person, or an explicit now, is in goes on as well."""
    assert deferred(decide(state(parked=(parked(),)), NIGHT)) == {"batch:ops-1": (OPENING, QUIET_HOURS)}
    for free in (parked(bypass=True), parked(urgent="manual"), parked(urgent="immediate"), parked(intent="immediate")):
        assert decide(state(parked=(free,)), NIGHT) == RunParked("ops-1")


def test_a_budget_defers_or_sets_aside_as_configured() -> None:
    """A tick is never a dead letter; a person runs; a retry waits."""
    until = (NOW // HOUR_MS + 1) * HOUR_MS
    defer, bury = Rules(budget_per_hour=5), Rules(budget_per_hour=5, bury_over_budget=True)
    assert deferred(decide(state(lane(), spent=SPENT), defer)) == {"event": (until, BUDGET)}
    assert decide(state(lane(), spent=SPENT), bury) == BuryTarget(MAIN, ("event",), BUDGET)
    assert deferred(decide(state(lane("scheduled"), spent=SPENT), bury)) == {"scheduled": (until, BUDGET)}
    assert deferred(decide(state(parked=(parked(),), spent=SPENT), bury)) == {"batch:ops-1": (until, BUDGET)}
    assert isinstance(decide(state(lane("manual"), spent=SPENT), bury), RunTarget)
    assert isinstance(decide(state(lane(), spent=SPENT), Rules(budget_per_hour=6, bury_over_budget=True)), RunTarget)


def test_a_chain_that_is_too_long_is_braked() -> None:
    """Until an ordinary wake of its session takes it along."""
    ran = state(lane(DEEP), depth=9)._replace(starts_ms=(NOW - 1_000,))
    assert deferred(decide(ran, Rules())) == {DEEP: (NOW + 29_000, LINEAGE)}
    both = decide(state(lane(DEEP), lane(), depth=9), Rules())
    assert isinstance(both, RunTarget)
    assert DEEP in both.intents


def test_a_tick_that_is_due_becomes_a_wake_and_missed_ones_are_one() -> None:
    cadence = HALF_HOURLY.cadence
    for missed in (0, 1, 500):
        due = Tick(NOW - missed * HOUR_MS // 2, cadence)
        assert decide(state(lane(), tick=due), HALF_HOURLY) == SetTick(Tick(NOW + HOUR_MS // 2, cadence), True, "due")
    assert isinstance(decide(state(lane(), tick=Tick(NOW + 1, cadence)), HALF_HOURLY), RunTarget)


def test_a_changed_cadence_is_computed_afresh_and_deposits_nothing() -> None:
    following = Tick(NOW + HOUR_MS // 2, HALF_HOURLY.cadence)
    assert decide(state(), HALF_HOURLY) == SetTick(following, False, "cadence-changed")
    assert decide(state(tick=Tick(NOW - 1, "60000/0/")), HALF_HOURLY) == SetTick(following, False, "cadence-changed")
    assert decide(state(tick=Tick(NOW - 1, "60000/0/")), Rules()) == SetTick(None, False, "cadence-changed")
    assert decide(state(), Rules()) == Defer(())


def test_a_tick_in_quiet_hours_waits_for_its_first_slot_inside() -> None:
    """A server that was away at night does not make up for it at night."""
    rules = Rules(interval_ms=HOUR_MS // 2, phase_ms=60_000, hours=NIGHT.hours)
    expected = Tick(OPENING + 60_000, rules.cadence)
    assert next_tick(rules, NOW) == expected
    assert decide(state(tick=Tick(NOW - 1, rules.cadence)), rules) == SetTick(expected, False, QUIET_HOURS)
    assert next_tick(rules, NOW, expected) == expected
    assert next_tick(rules, OPENING + 60_000, expected) == Tick(OPENING + 31 * 60_000, rules.cadence)


def test_ticks_as_they_are_stored() -> None:
    assert tick_from("12|60000/0/08:00-22:00 UTC") == Tick(12, "60000/0/08:00-22:00 UTC")
    assert (tick_from(""), tick_from(None)) == (None, None)


def test_without_caps_and_in_time_nobody_needs_a_place() -> None:
    run = RunTarget(MAIN, ("event",))
    assert admission(state(lane(), due_ms=NOW - 60_000), run, Rules(release_per_s=5)) is None
    assert admission(state(lane(), due_ms=0), run, Rules(release_per_s=5)) is None
    assert admission(state(lane(), due_ms=1), run, Rules()) is None
    assert admission(state(lane(), due_ms=1), run, Rules(release_per_s=5, overdue_ms=0)) is None


def test_who_needs_a_place_goes_by_urgency_then_age() -> None:
    """The rank is that of the most urgent of the target; a parked batch has its own."""
    shown = state(
        lane(at=NOW - 9), lane("manual", at=NOW - 3), lane("immediate", session="agent:ops:side"), parked=(parked(urgent="immediate"),)
    )
    capped = Rules(all_cap=1)
    assert admission(shown, RunTarget(MAIN, ()), capped) == Admission(0, NOW - 3, late=False)
    assert admission(shown, RunParked("ops-1"), Rules(pool_cap=1)) == Admission(1, NOW - 50, late=False)
    late = admission(shown._replace(due_ms=NOW - 60_001), RunParked("ops-1"), Rules(release_per_s=1))
    assert late == Admission(1, NOW - 50, late=True)
    assert [one.reason for one in (late, late._replace(late=False))] == [RELEASE, CAP]
    rides_along = state(lane(at=NOW - 9), lane("rider", at=NOW - 1))
    assert admission(rides_along, RunTarget(MAIN, ()), capped) == Admission(2, NOW - 9, late=False), "of equals the oldest counts"


@pytest.mark.parametrize("wait_ms", [-5, 0, 1, 10_000])
def test_no_place_binds_everything_for_a_while(wait_ms: int) -> None:
    """A person's wake too, and never in the past."""
    bound = no_place(state(parked=(parked(),)), Admission(2, 0, late=False), wait_ms)
    assert {d.kind for d in bound} == {*KINDS, "batch:ops-1"}
    assert {(d.until_ms, d.reason) for d in bound} == {(NOW + max(1, wait_ms), CAP)}
    assert Deferral("manual", NOW + max(1, wait_ms), CAP) in bound
