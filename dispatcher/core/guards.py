"""What makes a wake wait: the cooldown table and the guards around it. Pure functions of values and a given time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dispatcher.core.models import Intent
from dispatcher.core.rules import (
    BUDGET,
    DEEP,
    DEFAULTS,
    FLOOD,
    HOUR_MS,
    LINEAGE,
    MAX_LINEAGE_WAIT_MS,
    MIN_SPACING,
    NOT_DUE,
    QUIET_HOURS,
    RIDER,
    RIDER_AGE_MS,
    Rules,
)


class NotBefore(NamedTuple):
    """A deferral of one intent: `until_ms` is later than now, `reason` one of the words of `rules`."""

    until_ms: int
    reason: str


def flood_until(starts_ms: Iterable[int], now_ms: int, flood_starts: int, flood_window_ms: int) -> int | None:
    """The end of a flood deferral, or None. A start exactly one window ago still counts; the order of the starts does not matter."""
    if flood_starts <= 0 or flood_window_ms <= 0:
        return None
    recent = sorted((s for s in starts_ms if now_ms - s <= flood_window_ms), reverse=True)
    return recent[flood_starts - 1] + flood_window_ms + 1 if len(recent) >= flood_starts else None


def budget_until(spent: Iterable[tuple[int, int]], now_ms: int, per_hour: int, per_day: int) -> int | None:
    """When the next heartbeat is within both budgets, or None if it is now. `spent` counts starts by hour of slot time.

    The hour is that of the clock, the day is the last 24 of them: a budget frees itself at full hours.
    """
    hour, counts = _last_day(spent, now_ms)
    waits = [hour + 1] if 0 < per_hour <= counts.get(hour, 0) else []
    if 0 < per_day <= (left := sum(counts.values())):
        for at in sorted(counts):
            left -= counts[at]
            if left < per_day:
                waits.append(at + 24)
                break
    return max(waits) * HOUR_MS if waits else None


def budget_share(spent: Iterable[tuple[int, int]], now_ms: int, per_hour: int, per_day: int) -> float:
    """How much of its budgets an agent has spent, of the one that is nearer its end; 1 is all, 0 also without a budget."""
    hour, counts = _last_day(spent, now_ms)
    used = [(counts.get(hour, 0), per_hour), (sum(counts.values()), per_day)]
    return max((count / budget for count, budget in used if budget > 0), default=0.0)


def _last_day(spent: Iterable[tuple[int, int]], now_ms: int) -> tuple[int, dict[int, int]]:
    """This hour, and the starts by hour of the last 24, this one included."""
    hour = now_ms // HOUR_MS
    return hour, {at: count for at, count in spent if hour - 24 < at <= hour}


def lineage_until(last_start_ms: int, depth: int, rules: Rules) -> int:
    """When a chain of heartbeats that woke itself goes on: its spacing doubles with each step beyond the permitted depth."""
    beyond = min(max(depth - rules.max_lineage_depth, 1), 30)
    return last_start_ms + min(rules.lineage_spacing_ms << (beyond - 1), MAX_LINEAGE_WAIT_MS)


def cooldown(
    intent: str,
    now_ms: int,
    starts_ms: Sequence[int],
    last_start_ms: int | None,
    next_due_ms: int | None = None,
    rules: Rules = DEFAULTS,
    *,
    spent: Sequence[tuple[int, int]] = (),
    closed_until_ms: int | None = None,
    depth: int = 0,
) -> NotBefore | None:
    """The cooldown table, first match decides; None means run. `closed_until_ms`: the end of quiet hours, if it is quiet now."""
    if intent == Intent.MANUAL:
        return None
    if costly := over_limits(now_ms, starts_ms, spent, rules):
        return costly
    if intent == Intent.IMMEDIATE:
        return None
    if closed_until_ms is not None and closed_until_ms > now_ms:
        return NotBefore(closed_until_ms, QUIET_HOURS)
    if intent == Intent.SCHEDULED:
        return NotBefore(next_due_ms, NOT_DUE) if next_due_ms is not None and now_ms < next_due_ms else None
    if last_start_ms is None:
        return None
    if intent == DEEP:
        free = lineage_until(last_start_ms, depth, rules)
        return NotBefore(free, LINEAGE) if now_ms < free else None
    free = last_start_ms + max(rules.min_spacing_ms, 0)
    return NotBefore(free, MIN_SPACING) if now_ms < free else None


def over_limits(now_ms: int, starts_ms: Sequence[int], spent: Sequence[tuple[int, int]], rules: Rules) -> NotBefore | None:
    """The guards that bind a retry as well: each of its starts costs what any other does."""
    flood = flood_until(starts_ms, now_ms, rules.flood_starts, rules.flood_window_ms)
    if flood is not None:
        return NotBefore(flood, FLOOD)
    budget = budget_until(spent, now_ms, rules.budget_per_hour, rules.budget_per_day)
    return NotBefore(budget, BUDGET) if budget is not None else None


def due_delay_ms(intent: str, rules: Rules) -> int:
    """How long a wake waits for company. Urgent ones do not; a rider becomes a wake of its own after its maximum age."""
    if intent == RIDER:
        return RIDER_AGE_MS
    if intent in (Intent.MANUAL, Intent.IMMEDIATE):
        return 0
    return max(0, rules.quiet_ms or rules.window_ms)
