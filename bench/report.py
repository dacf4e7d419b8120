"""The JSON, the page and the pictures of a run. Written by the run, never by hand."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from bench import targets
from bench.plots import bars, curves, number, shares
from bench.racing import SLOW_S, middle

VERDICTS = {True: "reached", False: "**not reached**", None: "not measured"}
WORDS = {
    "w1": ("one agent, 2 000 completions, heartbeats of 100 ms", "after_first_s", "s until the last was done"),
    "w2": ("1 000 agents x 5, a heartbeat does nothing", "per_second", "completions/s"),
    "w3": ("idle, one at a time: call → start of its heartbeat", "p50_ms", "ms, p50"),
}


def write(found: dict[str, Any], folder: Path) -> None:
    """`speed.json`, `speed.md` and the pictures of what was measured; none of another run stays beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("speed_*.svg"):
        old.unlink()
    (folder / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "speed.md").write_text(page(found))
    for name, text in pictures(found).items():
        (folder / f"speed_{name}.svg").write_text(text)


def pictures(found: dict[str, Any]) -> dict[str, str]:
    """SVG by workload."""
    drawn = {}
    for name, rounds in found.get("races", {}).get("rounds", {}).items():
        what, key, unit = WORDS[name]
        values = {peer: value for peer, figures in rounds.items() if (value := middle(figures, key))}
        if len(values) > 1:
            drawn[name] = bars(f"{name.upper()}: {what} ({unit})", values, {"wake", "wake, batch()"}, logarithmic=True)
    if w4 := found.get("w4"):
        drawn["w4"] = shares("W4: share of the kills after which it ran again within so many seconds", w4["seconds"], targets.TAKE_OVER_S)
    if w5 := found.get("w5"):
        sizes = {f"{number(one['agents'])} agents": one["bytes_per_agent"] for one in w5}
        drawn["w5"] = bars("W5: bytes of the server per idle agent with a cadence", sizes, set(sizes), limit=targets.BYTES)
    if w6 := found.get("w6"):
        highest = {f"{number(one['agents'])} agents, {one['workers']} workers": one["per_second"] for one in w6}
        drawn["w6"] = bars("W6: completions/s with p99 of acceptance → start below a second", highest, set(highest))
    if w7 := found.get("w7"):
        labels = [f"{number(one['backlog'])} / {number(one['agents'])}" for one in w7]
        drawn["w7"] = curves("W7: µs of CPU per completion, by backlog / agents", labels, targets.costs(found), targets.band(found))
    return drawn


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    load = ", ".join(f"{value:.1f}" for value in found["load_average"])
    lines = [
        "# Speed: measured by `make bench`",
        "",
        f"`{found['command']}`, {found['seconds']:.0f} s on {found['processors']} processors; the program at {found['commit']}.",
        f"Load average {found['load_before']:.1f} before it, {load} at its end.",
        "Contestants take turns; each figure is the median of its rounds, with the lowest and highest. Ratios say more than figures.",
        f"Who takes {SLOW_S:.0f} s for a workload, or in W1 a heartbeat for each completion, does it once;",
        "rounds and parts that there was no time for are left out.",
    ]
    if found["load_before"] > 1:
        lines += ["", "**Other work ran on this machine: compare within a table only.**"]
    lines += held_against(found)
    lines += races(found.get("races", {})) + publishing(found.get("rates", {})) + standing(found) + growing(found)
    return "\n".join(lines) + "\n"


def held_against(found: dict[str, Any]) -> list[str]:
    """Each target, reached or not in this run."""
    rows = [f"| {line.what} | {line.wanted} | {line.measured} | {VERDICTS[line.reached]} |" for line in targets.lines(found)]
    return ["", "## Against what is to be reached", "", "| | to reach | measured | |", "|---|---|---|---|", *rows]


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
            "| | " + " | ".join([unit, "against celery", *others, "rounds", "all done"]) + " |",
            "|---" * (len(others) + 5) + "|",
        ]
        base = middle(rounds.get("celery", []), key)
        for peer, figures in rounds.items():
            mine = middle(figures, key)
            ratio = f"{mine / base:.2f} x" if mine and base else "-"
            cells = [spread(figures, key), ratio, *(shown(middle(figures, word)) for word in others), str(len(figures))]
            lines.append(f"| {peer} | " + " | ".join([*cells, "yes" if all(one.get("complete") for one in figures) else "**no**"]) + " |")
        if sum(bool(middle(figures, key)) for figures in rounds.values()) > 1:
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
        ("the same steps, packed beforehand", "bare", "bare"),
        ("Celery's tasks, nothing to do, 8 threads", "celery_tasks", "celery_tasks"),
        ("Celery's tasks, per second of the worker's CPU", "celery_tasks_per_cpu_s", "celery_tasks_per_cpu_s"),
        ("routed, per second of the router's CPU", "routed_per_cpu_s", "celery_tasks_per_cpu_s"),
        ("routed with a doorbell for each agent, per second of the router's CPU", "rung_per_cpu_s", "celery_tasks_per_cpu_s"),
    )
    lines = ["", "## One process, per second", "", "| | per second | ratio |", "|---|---|---|"]
    said = {name: what for what, name, _ in rows}
    for what, name, base in rows:
        lines.append(f"| {what} | {spread_of(found[name])} | {middles[name] / middles[base]:.2f} x {said[base]} |")
    return lines


def standing(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if w4 := found.get("w4"):
        lines += ["", "## W4: SIGKILL in mid-heartbeat, default settings", ""]
        lines += [
            f"{w4['kills']} kills: the batch ran again after p50 {w4['p50_s']:.2f} s, p99 {w4['p99_s']:.2f} s;",
            f"lost {w4['lost']}, overlaps {w4['overlaps']}.",
            "",
            "![Time until it runs again](speed_w4.svg)",
        ]
    if w5 := found.get("w5"):
        lines += ["", "## W5: idle agents with a cadence", "", *table(w5), "", "![Bytes per agent](speed_w5.svg)"]
    return lines


def growing(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if w6 := found.get("w6"):
        lines += ["", "## W6: the highest rate with p99 of acceptance → start below a second", ""]
        lines += [f"Arrivals go round the agents, each rate for {w6[0]['seconds']:.0f} s; the limit lies within a tenth above the figure."]
        names = ("agents", "workers", "per_second", "bound")
        lines += ["", *table([{name: one[name] for name in names} for one in w6]), "", "![Highest rates](speed_w6.svg)"]
    if w7 := found.get("w7"):
        lines += ["", "## W7: cost of one completion (µs of CPU), while backlog and agents grow", ""]
        rows = [
            {"backlog": one["backlog"], "agents": one["agents"]}
            | {f"{when} {name}": one[when][name] for when in ("first", "last") for name in ("router_us", "server_us")}
            for one in w7
        ]
        lines += [*table(rows), "", "![Cost of a completion; the band is ± 20 % of the median](speed_w7.svg)"]
    return lines


def table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    body = ["| " + " | ".join(shown(row[name]) for name in names) + " |" for row in rows]
    return ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * len(names) + "|", *body]


def spread(figures: list[dict[str, Any]], key: str) -> str:
    return spread_of([one[key] for one in figures if key in one])


def spread_of(values: list[float]) -> str:
    return f"{shown(median(values))} ({shown(min(values))}-{shown(max(values))})" if values else "-"


def shown(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else number(value)
