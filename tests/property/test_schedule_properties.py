"""Active hours against a scan of a year in zones with and without clock changes, and what cadences make of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core import schedule
from dispatcher.core.policy import SetTick, decide, next_tick
from dispatcher.core.rules import DAY_MS, HOUR_MS, Rules
from dispatcher.core.schedule import MINUTE_MS, SEEK_HORIZON_MS, ActiveHours, next_due
from dispatcher.core.snapshot import Snapshot, Tick

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "UTC")
YEAR = datetime(2027, 1, 1, tzinfo=UTC)
YEAR_MS = int(YEAR.timestamp()) * 1000
MINUTES = 365 * 1440
STEP = 15  # no clock of these zones changes between quarters of an hour

minutes_of_day = st.integers(0, 1439)
windows = st.tuples(minutes_of_day, st.integers(0, 1440))
instants = st.integers(0, MINUTES * MINUTE_MS - 8 * DAY_MS - 1).map(lambda ms: YEAR_MS + ms)


@cache
def wall_minutes(zone: str) -> list[int]:
    """The minute on the wall at every minute of the year, from the zone's offset alone."""
    found: list[int] = []
    for quarter in range(0, MINUTES, STEP):
        at = YEAR + timedelta(minutes=quarter)
        offset = at.astimezone(ZoneInfo(zone)).utcoffset()
        assert offset is not None
        found += [(quarter + n + int(offset.total_seconds()) // 60) % 1440 for n in range(STEP)]
    return found


def is_open(window: tuple[int, int], minute: int) -> bool:
    """By counting up from the start of the window."""
    start, end = window
    return (minute - start) % 1440 < (end - start if end >= start else end - start + 1440)


def hours_of(window: tuple[int, int], zone: str) -> ActiveHours:
    start, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in window)
    return ActiveHours.parse(start, end, zone)


@pytest.mark.parametrize(
    ("zone", "window"), [("Europe/Berlin", (150, 185)), ("Australia/Lord_Howe", (1320, 110)), ("America/New_York", (120, 1440))]
)
def test_a_scan_of_a_year(zone: str, window: tuple[int, int]) -> None:
    """Windows whose edges are skipped, or repeated, when the clock changes: each minute of those days, each fifth of the others."""
    hours, wall = hours_of(window, zone), wall_minutes(zone)
    changes = [n for n in range(1, MINUTES) if (wall[n] - wall[n - 1]) % 1440 != 1]
    assert len(changes) == 2
    scanned = set(range(0, MINUTES, 5)).union(*(range(n - 1440, n + 1440) for n in changes))
    wrong = [n for n in sorted(scanned) if hours.is_active(YEAR_MS + n * MINUTE_MS) is not is_open(window, wall[n])]
    assert wrong == []


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), window=windows, at=st.lists(instants, min_size=1, max_size=30))
def test_any_window_at_any_instant(zone: str, window: tuple[int, int], at: list[int]) -> None:
    hours, wall = hours_of(window, zone), wall_minutes(zone)
    assert [hours.is_active(ms) for ms in at] == [is_open(window, wall[(ms - YEAR_MS) // MINUTE_MS]) for ms in at]


@settings(max_examples=40, deadline=None)
@given(zone=st.sampled_from(ZONES), window=windows, at=instants)
def test_the_opening_is_what_a_scan_finds(zone: str, window: tuple[int, int], at: int) -> None:
    """The first active minute at or after an instant; a window that is never open says so after seven days."""
    hours, wall = hours_of(window, zone), wall_minutes(zone)
    first = -(-(at - YEAR_MS) // MINUTE_MS)
    scanned = next((n for n in range(first, first + 7 * 1440 + 1) if is_open(window, wall[n])), None)
    assert hours.opening(at) == (at + SEEK_HORIZON_MS if scanned is None else YEAR_MS + scanned * MINUTE_MS)
    assert hours.opening(at) >= at


@settings(max_examples=40, deadline=None)
@given(zone=st.sampled_from(ZONES), window=windows, at=instants, interval=st.integers(1_000, 3 * DAY_MS), phase=st.integers(0, 3 * DAY_MS))
def test_a_tick_lies_in_active_hours_and_in_phase_unless_no_phase_does(
    zone: str, window: tuple[int, int], at: int, interval: int, phase: int
) -> None:
    """Where every slot of a week lies outside, it ticks when the hours begin; a window that is never open has no ticks."""
    rules = Rules(interval_ms=interval, phase_ms=phase % interval, hours=hours_of(window, zone))
    tick = next_tick(rules, at)
    assert rules.hours
    assert (tick is None) == (window[0] == window[1])
    if tick is None:
        return
    assert tick.next_ms > at
    assert rules.hours.is_active(tick.next_ms)
    assert next_tick(rules, at, tick) == tick
    if (tick.next_ms - phase) % interval:
        assert not rules.hours.is_active(tick.next_ms - 1), "it is when they begin"
        step = interval * max(1, -(-MINUTE_MS // 2 // interval))
        first = next_due(at, interval, phase % interval)
        assert not any(rules.hours.is_active(first + n * step) for n in range(min(SEEK_HORIZON_MS // step, 2_000) + 1))


@settings(max_examples=100, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 5 * DAY_MS), min_size=1, max_size=12),
    interval=st.integers(1_000, DAY_MS),
    window=st.none() | windows.filter(lambda w: w[0] != w[1]),
    start=st.integers(YEAR_MS, YEAR_MS + 200 * DAY_MS),
)
def test_however_many_ticks_were_missed_it_is_one_and_never_outside_the_hours(
    gaps: list[int], interval: int, window: tuple[int, int] | None, start: int
) -> None:
    """After each outage one decision moves the cadence on, with at most one wake; the next finds nothing more to do."""
    hours = hours_of(window, "Europe/Berlin") if window else None
    rules, now, tick = Rules(interval_ms=interval, hours=hours), start, None
    for gap in gaps:
        moved = decide(Snapshot(now, 0, (), (), (), real_ms=now, tick=tick), rules)
        if isinstance(moved, SetTick):
            assert not moved.deposit or tick is not None
            assert not moved.deposit or hours is None or hours.is_active(now)
            assert not moved.deposit or (tick is not None and tick.next_ms <= now)
            tick = moved.tick
        assert tick
        assert tick.next_ms > now
        assert not isinstance(decide(Snapshot(now, 0, (), (), (), real_ms=now, tick=tick), rules), SetTick)
        now += gap


@pytest.mark.parametrize("seed", ["wake", "a", "b", ""])
@pytest.mark.parametrize("interval", [1_800_000, 60_000, DAY_MS, 7 * HOUR_MS + 1])
def test_phases_are_spread(seed: str, interval: int) -> None:
    """Chi-square of 2 000 agents over 20 bins: 50 would be exceeded once in 10 000 fleets."""
    bins = [0] * 20
    for n in range(2_000):
        phase = schedule.phase(seed, f"agent-{n}", interval)
        assert 0 <= phase < interval
        bins[phase * 20 // interval] += 1
    assert sum((found - 100) ** 2 / 100 for found in bins) < 50


@given(now=st.integers(0, 2**42), interval=st.integers(1_000, 2**36), seed=st.sampled_from(["wake", "a", ""]))
def test_a_reload_keeps_what_is_pending(now: int, interval: int, seed: str) -> None:
    """The same cadence keeps its tick; another one gets a tick of its own, later than now."""
    rules = Rules(interval_ms=interval, phase_ms=schedule.phase(seed, "ops", interval))
    tick = next_tick(rules, now)
    assert tick
    assert next_tick(rules, now + (tick.next_ms - now) // 2, tick) == tick
    other = next_tick(Rules(interval_ms=interval + 1_000, phase_ms=rules.phase_ms), now, tick)
    assert other
    assert other != Tick(tick.next_ms, rules.cadence)
    assert now < other.next_ms <= now + interval + 1_000
