"""Cadence, seeking an active slot, and active hours on days when the clock changes."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest

from dispatcher.core import schedule
from dispatcher.core.errors import ConfigError
from dispatcher.core.schedule import ActiveHours, Cadence

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEW_YEAR = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def at(zone: str, year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """Epoch ms of a wall clock time."""
    return int(datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_the_phase_is_the_documented_hash() -> None:
    expected = int(sha256(b"device-a:main").hexdigest()[:8], 16) % HOUR
    assert schedule.phase("device-a", "main", HOUR) == expected


def test_a_fleet_does_not_tick_in_phase() -> None:
    phases = {schedule.phase("device-a", f"agent-{n}", HOUR) for n in range(200)}
    assert len(phases) > 190
    assert {phase // (HOUR // 4) for phase in phases} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("now", "due"),
    [(10 * HOUR + 10 * MINUTE, 10 * HOUR + 15 * MINUTE), (10 * HOUR + 15 * MINUTE, 11 * HOUR + 15 * MINUTE), (0, 15 * MINUTE),
     (1000 * DAY + 16 * MINUTE, 1000 * DAY + HOUR + 15 * MINUTE)],
)  # fmt: skip
def test_the_next_tick_is_strictly_later_and_missed_ones_are_one(now: int, due: int) -> None:
    assert schedule.next_due(now, HOUR, 15 * MINUTE) == due


def test_a_reload_keeps_a_pending_tick_only_if_nothing_changed() -> None:
    pending = Cadence(interval_ms=HOUR, phase_ms=15 * MINUTE, next_due_ms=3 * HOUR + 15 * MINUTE)
    assert schedule.resolve_due(HOUR, HOUR, 15 * MINUTE, pending) == pending.next_due_ms
    assert schedule.resolve_due(HOUR, HOUR, HOUR + 15 * MINUTE, pending) == pending.next_due_ms
    assert schedule.resolve_due(HOUR, HOUR, 16 * MINUTE, pending) == HOUR + 16 * MINUTE
    assert schedule.resolve_due(HOUR, 2 * HOUR, 15 * MINUTE, pending) == 2 * HOUR + 15 * MINUTE
    assert schedule.resolve_due(pending.next_due_ms, HOUR, 15 * MINUTE, pending) == 4 * HOUR + 15 * MINUTE
    assert schedule.resolve_due(HOUR, HOUR, 15 * MINUTE) == HOUR + 15 * MINUTE


@pytest.mark.parametrize("interval", [0, -1])
def test_no_interval_has_no_ticks(interval: int) -> None:
    with pytest.raises(ValueError, match="no ticks"):
        schedule.next_due(0, interval, 0)


def test_a_narrow_window_is_not_stepped_over() -> None:
    """59 s steps and a window of one minute: one slot fits, 977 steps ahead."""
    start = NEW_YEAR + 17 * HOUR
    assert schedule.seek_active(start, 59_000, lambda ms: ms % DAY // MINUTE == 9 * 60) == start + 977 * 59_000


@pytest.mark.parametrize("interval", [1, 7, 500, 29_999, 30_001])
def test_a_short_interval_finds_the_first_slot_with_few_probes(interval: int) -> None:
    probes: list[int] = []

    def active(ms: int) -> bool:
        probes.append(ms)
        return 9 * HOUR <= ms % DAY < 9 * HOUR + MINUTE

    start = NEW_YEAR + 8 * HOUR + 3
    found = schedule.seek_active(start, interval, active)
    assert 9 * HOUR <= found - NEW_YEAR < 9 * HOUR + interval
    assert (found - start) % interval == 0
    assert len(probes) < 200


def test_seeking_ends_after_seven_days() -> None:
    probes: list[int] = []

    def never(ms: int) -> bool:
        probes.append(ms)
        return False

    assert schedule.seek_active(NEW_YEAR, HOUR, never) == NEW_YEAR
    assert max(probes) == NEW_YEAR + 7 * DAY
    assert schedule.seek_active(NEW_YEAR, HOUR, lambda ms: ms >= NEW_YEAR + 7 * DAY) == NEW_YEAR + 7 * DAY


@pytest.mark.parametrize(
    ("window", "open_at", "shut_at"),
    [
        (("08:00", "10:00"), ["08:00", "09:59"], ["07:59", "10:00", "00:00"]),
        (("22:00", "06:00"), ["22:00", "23:59", "00:00", "05:59"], ["06:00", "21:59"]),
        (("08:00", "24:00"), ["08:00", "23:59"], ["00:00", "07:59"]),
        (("00:00", "24:00"), ["00:00", "12:00", "23:59"], []),
        (("08:00", "00:00"), ["08:00", "23:59"], ["00:00", "07:59"]),
        (("08:00", "08:00"), [], ["08:00", "07:59", "20:00"]),
    ],
)
def test_start_is_inside_and_end_is_outside(window: tuple[str, str], open_at: list[str], shut_at: list[str]) -> None:
    hours = ActiveHours.parse(*window, "UTC")
    for times, active in ((open_at, True), (shut_at, False)):
        for text in times:
            assert hours.is_active(NEW_YEAR + int(text[:2]) * HOUR + int(text[3:]) * MINUTE) is active, text


def test_the_clock_of_the_zone_counts_on_days_of_change() -> None:
    """Berlin: on 2026-03-29 the clock goes from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00."""
    hours = ActiveHours.parse("02:00", "03:00", "Europe/Berlin")
    spring, autumn = at("UTC", 2026, 3, 29), at("UTC", 2026, 10, 25)
    assert not any(hours.is_active(spring + minute * MINUTE) for minute in range(-120, 240))
    assert [minute for minute in range(-60, 180) if hours.is_active(autumn + minute * MINUTE)] == list(range(120))
    day = ActiveHours.parse("08:00", "17:00", "Europe/Berlin")
    for month, date in ((3, 28), (3, 29), (3, 30), (10, 25), (10, 26)):
        assert day.is_active(at("Europe/Berlin", 2026, month, date, 8, 0))
        assert not day.is_active(at("Europe/Berlin", 2026, month, date, 7, 59))
        assert not day.is_active(at("Europe/Berlin", 2026, month, date, 17, 0))


@pytest.mark.parametrize("timezone", [None, "", "user", " user "])
def test_no_zone_is_the_users(timezone: str | None) -> None:
    hours = ActiveHours.parse("08:00", "10:00", timezone, "America/Los_Angeles")
    assert hours.is_active(at("America/Los_Angeles", 2026, 1, 1, 9, 0))
    assert not hours.is_active(at("UTC", 2026, 1, 1, 9, 0))


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        ActiveHours.parse("24:00", "25:00", "Mars/Olympus")
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "active_hours.timezone",
        "active_hours.end",
        "active_hours.start",
    ]
    with pytest.raises(ConfigError, match="user_timezone"):
        ActiveHours.parse("08:00", "09:00", "user", "../etc/passwd")


@pytest.mark.parametrize("text", ["8:00", "08:60", "24:01", "0800", "", "08:00 ", "\u0660\u0668:\u0660\u0660"])
def test_a_time_of_day_has_one_form(text: str) -> None:
    with pytest.raises(ConfigError, match="HH:MM"):
        ActiveHours.parse("00:00", text, "UTC")
