"""The figures of a simulation: pure arithmetic on its history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dispatcher.simulate.course import Course

PERCENT = 100


@dataclass(frozen=True)
class Waits:
    """ms from acceptance to the start of the turn that brought it to the agent; None when nothing started."""

    p50_ms: int | None = None
    p95_ms: int | None = None
    max_ms: int | None = None


@dataclass(frozen=True)
class Figures:
    """Of one agent, or of all. `heartbeats` are turns that took place; `busy`, `failed` and `lost` are starts that were not.

    `deferrals` counts by reason how often work began to wait for it. `waiting`: completions that have not started at the end.
    """

    completions: int = 0
    heartbeats: int = 0
    waits: Waits = Waits()
    deferrals: dict[str, int] = field(default_factory=dict)
    avoidable: dict[str, int] = field(default_factory=dict)
    busy: int = 0
    failed: int = 0
    lost: int = 0
    dead: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """`balance` other than 0 is a fault of the program: a completion is missing, or counted twice."""

    total: Figures
    agents: dict[str, Figures]
    waiting: int
    suppressed: int
    balance: int

    def document(self) -> dict[str, Any]:
        return asdict(self)


def report_of(course: Course) -> Report:
    history = course.history
    arrivals, waits = Counter(agent for agent, _ in history.arrivals), _by_agent(history.waits)
    beats, delays = _by_agent((b.agent_id, b) for b in history.beats), _by_agent((d.agent_id, d.reason) for d in history.delays)
    dead = _by_agent((agent or "", reason) for agent, reason in course.dead)
    agents = {a: _figures(arrivals[a], waits[a], beats[a], delays[a], dead[a]) for a in course.plan.agents}
    total = _figures(
        len(history.arrivals),
        [ms for _, ms in history.waits],
        history.beats,
        [delay.reason for delay in history.delays],
        [reason for _, reason in course.dead],
    )
    balance = course.balance
    return Report(total, agents, balance.pending + balance.running, balance.suppressed, balance.balance)


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile of sorted values."""
    return values[max(0, -(-len(values) * percent // PERCENT) - 1)] if values else None


def compared(base: Report, other: Report) -> str:
    """How the other differs: `+12 s p95 wait`, and heartbeats in percent."""
    changes = [f"{_change(base.total.heartbeats, other.total.heartbeats)} heartbeats"]
    for name, before, after in (
        ("median wait", base.total.waits.p50_ms, other.total.waits.p50_ms),
        ("p95 wait", base.total.waits.p95_ms, other.total.waits.p95_ms),
    ):
        if before is not None and after is not None:
            changes.append(f"{_signed((after - before) / 1000)} s {name}")
    return ", ".join(changes)


def _change(before: int, after: int) -> str:
    return f"{_signed(round((after - before) * PERCENT / before))} %" if before else f"{_signed(after - before)}"


def _signed(number: float) -> str:
    text = f"{abs(number):.1f}".removesuffix(".0")
    return "±0" if text == "0" else f"{'+' if number > 0 else '−'}{text}"  # noqa: RUF001  # a minus sign


def _figures(arrivals: int, waits: Iterable[int], beats: Sequence[Any], reasons: Iterable[str], dead: Iterable[str]) -> Figures:
    words, ordered = Counter(beat.word for beat in beats), sorted(waits)
    return Figures(
        completions=arrivals,
        heartbeats=words["ran"] + words["skipped"] + words["running"],
        waits=Waits(percentile(ordered, 50), percentile(ordered, 95), ordered[-1] if ordered else None),
        deferrals=dict(Counter(reasons).most_common()),
        avoidable=dict(Counter(word for beat in beats if (word := beat.avoidable)).most_common()),
        busy=words["busy"],
        failed=words["failed"],
        lost=words["lost"],
        dead=dict(Counter(dead).most_common()),
    )


def _by_agent(pairs: Iterable[tuple[str, Any]]) -> defaultdict[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for agent_id, value in pairs:
        found[agent_id].append(value)
    return found
