"""A simulation as one SVG picture: a time line per agent with arrivals, deferrals by reason and heartbeats. Beyond 50 agents a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from dispatcher.simulate.course import Course
from dispatcher.simulate.history import Beat, Delay

MAX_ROWS = 50
WORST = 20  # agents that a summary still shows each for itself
LEFT, RIGHT, TOP, ROW, SUMMARY = 130, 1180, 70, 30, 90
BUCKETS = 240
COLOURS = {
    "min-spacing": "#e9b44c",
    "flood": "#c0392b",
    "quiet-hours": "#8e7cc3",
    "paused": "#7f8c8d",
    "budget": "#d35400",
    "cap": "#16a085",
    "release": "#2471a3",
    "lineage": "#ad1457",
}
OTHER_COLOUR = "#95a5a6"
BEATS = {"ran": "#2e7d32", "skipped": "#9ccc65", "busy": "#ffb300", "failed": "#b71c1c", "lost": "#000000", "running": "#66bb6a"}
TICKS_MS = (1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000, 604_800_000)


def picture(course: Course, title: str) -> str:
    """The whole picture as a text."""
    agents = course.plan.agents
    rows = agents if len(agents) <= MAX_ROWS else _worst(course)
    top = TOP if len(agents) <= MAX_ROWS else TOP + SUMMARY + 20
    height = top + ROW * len(rows) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + 20} {height}" font-family="sans-serif" font-size="11" '
        f'role="img" aria-label="{escape(title, quote=True)}">',
        f'<rect width="{RIGHT + 20}" height="{height}" fill="#ffffff"/><text x="10" y="20" font-size="15">{escape(title)}</text>',
        *_legend(course),
        *_axis(course, height - 40),
    ]
    if len(agents) > MAX_ROWS:
        parts += [*_summary(course), f'<text x="10" y="{top - 6}" fill="#555555">the {len(rows)} that waited longest</text>']
    for place, agent_id in enumerate(rows):
        parts += _row(course, agent_id, top + ROW * place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(course: Course, at_ms: float) -> float:
    plan = course.plan
    return round(LEFT + (RIGHT - LEFT) * min(max((at_ms - plan.start_ms) / plan.duration_ms, 0), 1), 1)


def _row(course: Course, agent_id: str, y: int) -> Iterator[str]:
    yield f'<text x="10" y="{y + 16}">{escape(agent_id[:18])}</text><line x1="{LEFT}" x2="{RIGHT}" y1="{y + 20}" y2="{y + 20}" stroke="#eeeeee"/>'
    for delay in _of(course.history.delays, agent_id):
        yield _bar(course, delay.from_ms, delay.until_ms, y + 9, 5, COLOURS.get(delay.reason, OTHER_COLOUR), f"{agent_id} waits: {delay.reason}")
    for beat in _of(course.history.beats, agent_id):
        ended_ms = course.plan.end_ms if beat.ended_ms is None else beat.ended_ms
        said = f"{agent_id}: {beat.word}, {beat.intent}, {beat.size} wakes, attempt {beat.attempt}"
        yield _bar(course, beat.started_ms, ended_ms, y + 15, 9, BEATS[beat.word], said)
    for x, number in sorted(Counter(_x(course, at_ms) for name, at_ms in course.history.arrivals if name == agent_id).items()):
        yield f'<line x1="{x}" x2="{x}" y1="{y + 2}" y2="{y + 8}" stroke="#1565c0"><title>{number} arrived</title></line>'


def _bar(course: Course, from_ms: int, until_ms: int, y: int, height: int, colour: str, said: str) -> str:
    x = _x(course, from_ms)
    width = max(1.5, round(_x(course, until_ms) - x, 1))
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"><title>{escape(said)}</title></rect>'


def _summary(course: Course) -> Iterator[str]:
    """Of all agents: how many arrivals, starts and beginning deferrals each slice of the time has."""
    history, base = course.history, TOP + SUMMARY
    lines = {
        "arrivals": ("#1565c0", [at_ms for _, at_ms in history.arrivals]),
        "heartbeats": (BEATS["ran"], [beat.started_ms for beat in history.beats]),
        "deferrals": (COLOURS["min-spacing"], [delay.from_ms for delay in history.delays]),
    }
    counts = {name: _buckets(course, times) for name, (_, times) in lines.items()}
    most = max((max(found) for found in counts.values()), default=0) or 1
    slice_ms = course.plan.duration_ms / BUCKETS
    yield f'<text x="10" y="{TOP + 16}">all {len(course.plan.agents)}</text><text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end" fill="#777777">{most}</text>'
    for place, (name, (colour, _)) in enumerate(lines.items()):
        points = [(_x(course, course.plan.start_ms + (n + 0.5) * slice_ms), base - SUMMARY * found / most) for n, found in enumerate(counts[name])]
        path = " ".join(f"{x},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.2"><title>{name}</title></polyline>'
        yield f'<text x="10" y="{TOP + 34 + 14 * place}" fill="{colour}">{name}</text>'


def _buckets(course: Course, times_ms: Iterable[int]) -> list[int]:
    plan, counts = course.plan, [0] * BUCKETS
    for at_ms in times_ms:
        counts[min(BUCKETS - 1, max(0, (at_ms - plan.start_ms) * BUCKETS // plan.duration_ms))] += 1
    return counts


def _worst(course: Course) -> list[str]:
    longest: Counter[str] = Counter()
    for agent_id, ms in course.history.waits:
        longest[agent_id] = max(longest[agent_id], ms)
    return sorted(course.plan.agents, key=lambda agent_id: -longest[agent_id])[:WORST]


def _legend(course: Course) -> Iterator[str]:
    reasons = sorted({delay.reason for delay in course.history.delays})
    words = sorted({beat.word for beat in course.history.beats})
    items = [("arrival", "#1565c0"), *((f"waits: {r}", COLOURS.get(r, OTHER_COLOUR)) for r in reasons), *((w, BEATS[w]) for w in words)]
    x = 10.0
    for text, colour in items:
        yield f'<rect x="{x:.0f}" y="32" width="10" height="10" fill="{colour}"/><text x="{x + 14:.0f}" y="41">{escape(text)}</text>'
        x += 30 + 6.4 * len(text)


def _axis(course: Course, y: int) -> Iterator[str]:
    plan = course.plan
    step_ms = next((ms for ms in TICKS_MS if plan.duration_ms / ms <= 12), TICKS_MS[-1])
    first = -(-plan.start_ms // step_ms) * step_ms
    form = "%H:%M:%S" if step_ms < 60_000 else "%H:%M" if plan.duration_ms <= 2 * 86_400_000 else "%d %b %H:%M"
    for at_ms in range(first, plan.end_ms + 1, step_ms):
        x, text = _x(course, at_ms), datetime.fromtimestamp(at_ms / 1000, ZoneInfo(plan.zone)).strftime(form)
        yield f'<line x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{y}" stroke="#dddddd"/><text x="{x}" y="{y + 16}" text-anchor="middle">{text}</text>'
    yield f'<text x="10" y="{y + 16}" fill="#777777">{escape(plan.zone)}</text>'


def _of(items: Sequence[Beat] | Sequence[Delay], agent_id: str) -> list:
    return [item for item in items if item.agent_id == agent_id]
