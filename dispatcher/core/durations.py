"""Durations as people write them: `30m`, `1h30m`, `90s`, `2d`, `0`."""

from __future__ import annotations

import re

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:[0-9]{1,9}(?:ms|s|m|h|d))+")


def parse_duration_ms(text: str) -> int:
    """ms of a duration; `0` needs no unit. Raises ValueError with what to write."""
    words = text.strip().lower()
    if words == "0":
        return 0
    if not _WHOLE.fullmatch(words):
        raise ValueError(f'{text[:40]!r} is no duration; write one like "30m", "1h30m", "90s" or "0"')
    return sum(int(count) * _UNITS_MS[unit] for count, unit in _PART.findall(words))


def duration_words(ms: int) -> str:
    """A duration for people, in its two largest units: `1 h 5 min`, `12.4 s`, `250 ms`."""
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s".replace(".0 s", " s")
    seconds = ms // 1_000
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
