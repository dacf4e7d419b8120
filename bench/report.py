"""The JSON, the table and the picture of a run. Written by the run, never by hand."""

from __future__ import annotations

import json
from math import log10
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from bench.racing import middle

LEFT, BAR, ROW = 200, 420, 22
WORDS = {
    "w1": ("one agent, 2 000 completions, heartbeats of 100 ms", "after_first_s", "s until the last was done"),
    "w2": ("1 000 agents x 5, a heartbeat does nothing", "per_second", "completions/s"),
    "w2_batch": ("the same, reported inside `with batch():`", "per_second", "completions/s"),
    "w3": ("idle, one at a time: call → start of its heartbeat", "p50_ms", "ms, p50"),
}


def write(found: dict[str, Any], folder: Path) -> None:
    """`speed.json`, `speed.md` and a picture for each race."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "speed.md").write_text(page(found))
    for name, rounds in found.get("races", {}).get("rounds", {}).items():
        if len(rounds) > 1:
            (folder / f"speed_{name}.svg").write_text(picture(name, rounds))


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    load = ", ".join(f"{value:.1f}" for value in found["load_average"])
    lines = [
        "# Speed: measured by `make bench`",
        "",
        f"`{found['command']}`, {found['seconds']:.0f} s on {found['processors']} processors.",
        f"Load average {found['load_before']:.1f} before it, {load} at its end.",
        "Contestants take turns; each figure is the median of its rounds, with the lowest and highest. Ratios say more than figures.",
    ]
    if found["load_before"] > 1:
        lines += ["", "**Other work ran on this machine: compare within a table only.**"]
    lines += races(found.get("races", {})) + publishing(found.get("rates", {})) + standing(found) + growing(found)
    return "\n".join(lines) + "\n"


def races(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, rounds in found.get("rounds", {}).items():
        if not rounds:
            continue
        what, key, unit = WORDS[name]
        others = [
            word
            for word in ("heartbeats", "after_last_s", "overlaps", "twice", "p95_ms", "p99_ms")
            if any(word in one for of in rounds.values() for one in of)
        ]
        lines += [
            "",
            f"## {name.upper()}: {what}",
            "",
            "| | " + " | ".join([unit, "against celery", *others, "all done"]) + " |",
            "|---" * (len(others) + 4) + "|",
        ]
        base = middle(rounds.get("celery", []), key)
        for peer, figures in rounds.items():
            mine = middle(figures, key)
            ratio = f"{mine / base:.2f} x" if mine and base else "-"
            cells = [spread(figures, key), ratio, *(shown(middle(figures, word)) for word in others)]
            lines.append(f"| {peer} | " + " | ".join([*cells, "yes" if all(one.get("complete") for one in figures) else "**no**"]) + " |")
        if len(rounds) > 1:
            lines += ["", f"![{what}](speed_{name}.svg)"]
    lines += ["", *(f"Skipped: {name}: {why}" for name, why in found.get("skipped", {}).items())]
    return lines


def publishing(found: dict[str, list[float]]) -> list[str]:
    if not found:
        return []
    middles = {name: median(values) for name, values in found.items()}
    rows = (
        ("Celery's publish", "celery", "celery"),
        ("`.delay()`", "delay", "celery"),
        ("`.delay()` inside `with batch():`", "batch", "celery"),
        ("routed", "routed", "bare"),
        ("routed, per second of the router's CPU", "routed_per_cpu_s", "bare"),
        ("the same steps, packed beforehand", "bare", "bare"),
    )
    lines = ["", "## One process, per second", "", "| | per second | ratio |", "|---|---|---|"]
    return lines + [f"| {what} | {shown(middles[name])} | {middles[name] / middles[base]:.2f} x {base} |" for what, name, base in rows]


def standing(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if w4 := found.get("w4"):
        lines += ["", "## W4: SIGKILL in mid-heartbeat, default settings", ""]
        lines += [
            f"{w4['kills']} kills: the batch ran again after p50 {w4['p50_s']:.2f} s, p99 {w4['p99_s']:.2f} s;",
            f"lost {w4['lost']}, overlaps {w4['overlaps']}.",
        ]
    if w5 := found.get("w5"):
        lines += ["", "## W5: idle agents with a cadence", "", *table(w5)]
    return lines


def growing(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if w6 := found.get("w6"):
        lines += ["", "## W6: completions a second with p95 of acceptance → start below a second", ""]
        lines += table([{"agents": one["agents"], "workers": one["workers"], "per_second": one["per_second"]} for one in w6])
    if w7 := found.get("w7"):
        lines += ["", "## W7: cost of one completion (µs of CPU), while backlog and agents grow", ""]
        rows = [
            {"backlog": one["backlog"], "agents": one["agents"]}
            | {f"{when} {name}": one[when][name] for when in ("first", "last") for name in ("router_us", "server_us")}
            for one in w7
        ]
        lines += table(rows)
    return lines


def table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    body = ["| " + " | ".join(shown(row[name]) for name in names) + " |" for row in rows]
    return ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * len(names) + "|", *body]


def spread(figures: list[dict[str, Any]], key: str) -> str:
    values = [one[key] for one in figures if key in one]
    return f"{shown(median(values))} ({shown(min(values))}-{shown(max(values))})" if values else "-"


def shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 or value == int(value) else f"{value:.2f}"


def picture(name: str, rounds: dict[str, list[dict[str, Any]]]) -> str:
    """A bar for each contestant, on a logarithmic scale."""
    what, key, unit = WORDS[name]
    values = {peer: value for peer, figures in rounds.items() if (value := middle(figures, key))}
    if not values:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    low, high = log10(min(values.values())) - 0.3, log10(max(values.values()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + BAR + 120} {60 + ROW * len(values)}"',
        ' font-family="sans-serif" font-size="12">',
        f'<text x="10" y="20" font-size="14">{escape(name.upper())}: {escape(what)} ({escape(unit)}, logarithmic)</text>',
    ]
    for place, (peer, value) in enumerate(values.items()):
        y, width = 40 + ROW * place, BAR * (log10(value) - low) / max(high - low, 0.1)
        parts.append(f'<text x="10" y="{y + 13}">{escape(peer)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="16" fill="{"#1565c0" if peer == "wake" else "#95a5a6"}"/>')
        parts.append(f'<text x="{LEFT + width + 6:.0f}" y="{y + 13}">{shown(value)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
