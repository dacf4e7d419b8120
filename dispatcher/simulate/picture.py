"""A simulation as one SVG picture: a time line per agent with arrivals, deferrals by reason and heartbeats. Beyond 50 agents a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from dispatcher.simulate.course import Course

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
ARRIVAL = "#1565c0"
BEATS = {"ran": "#2e7d32", "skipped": "#9ccc65", "busy": "#ffb300", "failed": "#b71c1c", "lost": "#000000", "running": "#66bb6a"}
TICKS_MS = (1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000, 604_800_000)


def picture(course: Course, title: str) -> str:
    """The whole picture as a text."""
    agents = course.plan.agents
    rows = agents if len(agents) <= MAX_ROWS else _worst(course)
    top = TOP if len(agents) <= MAX_ROWS else TOP + SUMMARY + 20
    height = top + ROW * len(rows) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + 20} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{RIGHT + 20}" height="{height}" fill="#ffffff"/><text x="10" y="20" font-size="15">{escape(title)}</text>',
        *_legend(course),
        *_axis(course, height - 40),
    ]
    if len(agents) > MAX_ROWS:
        parts += [*_summary(course), _text(10, top - 6, f"the {len(rows)} that waited longest", "#555555")]
    for place, agent_id in enumerate(rows):
        parts += _row(course, agent_id, top + ROW * place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(course: Course, at_ms: float) -> float:
    plan = course.plan
    return round(LEFT + (RIGHT - LEFT) * min(max((at_ms - plan.start_ms) / plan.duration_ms, 0), 1), 1)


def _row(course: Course, agent_id: str, y: int) -> Iterator[str]:
    history = course.history
    yield _text(10, y + 16, agent_id[:18])
    yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y + 20}" y2="{y + 20}" stroke="#eeeeee"/>'
    for delay in (delay for delay in history.delays if delay.agent_id == agent_id):
        colour, said = COLOURS.get(delay.reason, OTHER_COLOUR), f"{agent_id} waits: {delay.reason}"
        yield _bar(course, delay.from_ms, delay.until_ms, y + 9, 5, colour, said)
    for beat in (beat for beat in history.beats if beat.agent_id == agent_id):
        ended_ms = course.plan.end_ms if beat.ended_ms is None else beat.ended_ms
        said = f"{agent_id}: {beat.word}, {beat.intent}, {beat.size} wakes, attempt {beat.attempt}"
        yield _bar(course, beat.started_ms, ended_ms, y + 15, 9, BEATS[beat.word], said)
    for x, number in sorted(Counter(_x(course, at_ms) for name, at_ms in history.arrivals if name == agent_id).items()):
        yield _upright(x, y + 2, y + 8, ARRIVAL, f"<title>{number} arrived</title>")


def _bar(course: Course, from_ms: int, until_ms: int, y: int, height: int, colour: str, said: str) -> str:
    x = _x(course, from_ms)
    width = max(1.5, round(_x(course, until_ms) - x, 1))
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"><title>{escape(said)}</title></rect>'


def _summary(course: Course) -> Iterator[str]:
    """Of all agents: how many arrivals, starts and beginning deferrals each slice of the time has."""
    history, base = course.history, TOP + SUMMARY
    lines = {
        "arrivals": (ARRIVAL, [at_ms for _, at_ms in history.arrivals]),
        "heartbeats": (BEATS["ran"], [beat.started_ms for beat in history.beats]),
        "deferrals": (COLOURS["min-spacing"], [delay.from_ms for delay in history.delays]),
    }
    counts = {name: _buckets(course, times) for name, (_, times) in lines.items()}
    most = max((max(found) for found in counts.values()), default=0) or 1
    slice_ms = course.plan.duration_ms / BUCKETS
    yield _text(10, TOP + 16, f"all {len(course.plan.agents)}")
    yield _text(LEFT - 6, TOP + 8, most, "#777777", "end")
    for place, (name, (colour, _)) in enumerate(lines.items()):
        middles = (course.plan.start_ms + (number + 0.5) * slice_ms for number in range(BUCKETS))
        path = " ".join(f"{_x(course, ms)},{base - SUMMARY * n / most:.1f}" for ms, n in zip(middles, counts[name], strict=True))
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.2"><title>{name}</title></polyline>'
        yield _text(10, TOP + 34 + 14 * place, name, colour)


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
    items = [("arrival", ARRIVAL), *((f"waits: {r}", COLOURS.get(r, OTHER_COLOUR)) for r in reasons), *((w, BEATS[w]) for w in words)]
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
        x = _x(course, at_ms)
        yield _upright(x, TOP - 8, y, "#dddddd")
        yield _text(x, y + 16, datetime.fromtimestamp(at_ms / 1000, ZoneInfo(plan.zone)).strftime(form), anchor="middle")
    yield _text(10, y + 16, plan.zone, "#777777")


def _text(x: float, y: float, words: object, fill: str = "#000000", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" fill="{fill}" text-anchor="{anchor}">{escape(str(words))}</text>'


def _upright(x: float, top: float, bottom: float, colour: str, inside: str = "") -> str:
    return f'<line x1="{x}" x2="{x}" y1="{top}" y2="{bottom}" stroke="{colour}">{inside}</line>'
