"""Cadence and active hours: when the next tick is due. Pure arithmetic on epoch milliseconds; zones come from IANA, DST included."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dispatcher.core.errors import ConfigError

SEEK_HORIZON_MS = 7 * 24 * 3_600_000
USER_TIMEZONE = "user"
MINUTE_MS = 60_000

_PROBE_STEP_MS = 30_000  # two probes lie less than a minute apart, the shortest window there is
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")


@dataclass(frozen=True, slots=True)
class Cadence:
    """A pending tick and the interval and phase that it was computed from."""

    interval_ms: int
    phase_ms: int
    next_due_ms: int


def phase(seed: str, agent_id: str, interval_ms: int) -> int:
    """Where in the interval this agent ticks, 0 ≤ phase < interval. Stable for one seed; agents of a fleet are spread."""
    return int.from_bytes(sha256(f"{seed}:{agent_id}".encode()).digest()[:4], "big") % _positive(interval_ms)


def next_due(now_ms: int, interval_ms: int, phase_ms: int) -> int:
    """The first instant strictly after now that is congruent to the phase; however many ticks were missed, it is one."""
    interval_ms = _positive(interval_ms)
    return now_ms + ((phase_ms - now_ms) % interval_ms or interval_ms)


def resolve_due(now_ms: int, interval_ms: int, phase_ms: int, pending: Cadence | None = None) -> int:
    """The due time after a reload: with the same interval and phase a pending future tick stays, else the next one is computed."""
    phase_ms %= _positive(interval_ms)
    if pending and (pending.interval_ms, pending.phase_ms) == (interval_ms, phase_ms) and pending.next_due_ms > now_ms:
        return pending.next_due_ms
    return next_due(now_ms, interval_ms, phase_ms)


def seek_active(start_ms: int, interval_ms: int, is_active: Callable[[int], bool] | None) -> int:
    """The first active slot at whole intervals from `start_ms`, at most seven days ahead; `start_ms` itself when there is none.

    A short interval is probed in steps under a minute and the edge found by halving, so at most about 20 000 probes are made.
    """
    interval_ms = _positive(interval_ms)
    if is_active is None or is_active(start_ms):
        return start_ms
    step_ms = interval_ms * -(-_PROBE_STEP_MS // interval_ms)
    for probe_ms in range(start_ms + step_ms, start_ms + SEEK_HORIZON_MS + 1, step_ms):
        if is_active(probe_ms):
            return _first_active(probe_ms - step_ms, probe_ms, interval_ms, is_active)
    return start_ms


def _first_active(quiet_ms: int, active_ms: int, interval_ms: int, is_active: Callable[[int], bool]) -> int:
    while active_ms - quiet_ms > interval_ms:
        middle_ms = quiet_ms + (active_ms - quiet_ms) // interval_ms // 2 * interval_ms
        if is_active(middle_ms):
            active_ms = middle_ms
        else:
            quiet_ms = middle_ms
    return active_ms


@dataclass(frozen=True, slots=True)
class ActiveHours:
    """A daily window on the wall clock of a zone: start inclusive, end exclusive; end before start spans midnight, equal is never."""

    start_minute: int
    end_minute: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, start: str, end: str, timezone: str | None = None, user_timezone: str = "UTC") -> ActiveHours:
        """Read `HH:MM` (the end up to `24:00`) and an IANA zone; none or `user` is the user's. Raises ConfigError with every fault."""
        problems: list[str] = []
        own = (timezone or "").strip()
        key, name = ("user_timezone", user_timezone) if own in ("", USER_TIMEZONE) else ("active_hours.timezone", own)
        zone = _zone(name, key, problems)
        minutes = [_minutes(text, f"active_hours.{field}", problems) for field, text in (("start", start), ("end", end))]
        if minutes[0] == 24 * 60:
            problems.append("active_hours.start: 24:00 can only be an end; use 00:00")
        if problems or zone is None:
            raise ConfigError(problems)
        return cls(minutes[0], minutes[1], zone)

    def __str__(self) -> str:
        times = [f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start_minute, self.end_minute)]
        return f"{'-'.join(times)} {self.zone.key}"

    @property
    def is_never(self) -> bool:
        return self.start_minute == self.end_minute

    def opening(self, at_ms: int) -> int:
        """The first active minute at or after this instant; seven days later when there is none, as for a window that is never open."""
        if self.is_never:
            return at_ms + SEEK_HORIZON_MS
        minute_ms = -(-at_ms // MINUTE_MS) * MINUTE_MS
        found = seek_active(minute_ms, MINUTE_MS, self.is_active)
        return found if self.is_active(found) else at_ms + SEEK_HORIZON_MS

    def is_active(self, at_ms: int) -> bool:
        """Whether this instant lies in the window. An hour that a clock change repeats counts twice, one that it skips never comes."""
        local = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def _minutes(text: str, key: str, problems: list[str]) -> int:
    if not _CLOCK_TIME.fullmatch(text):
        problems.append(f"{key}: {text!r} is no time of day; write HH:MM")
        return 0
    return int(text[:2]) * 60 + int(text[3:])


def _zone(name: str, key: str, problems: list[str]) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # ValueError and OSError: a name that is a path or a folder of the database
        problems.append(f"{key}: {name!r} is no IANA time zone; write one like Europe/Berlin or UTC")
        return None


def _positive(interval_ms: int) -> int:
    if interval_ms <= 0:
        raise ValueError(f"an interval of {interval_ms} ms has no ticks; do not ask for one when the cadence is off")
    return interval_ms
