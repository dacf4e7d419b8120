"""The table, the JSON and the picture of a campaign. Written by the campaign, never by hand."""

from __future__ import annotations

from math import log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.faults.campaign import dump, percentile

LEFT, BAR, ROW, HEIGHT = 270, 470, 24, 60
COLUMNS = {
    "times": "injected",
    "SIGKILLs": "sigkills",
    "completions": "completions",
    "heartbeats": "heartbeats",
    "again": "attempts_again",
    "lost": "lost",
    "twice": "twice",
    "foreign": "foreign",
    "overlaps": "overlaps",
    "balance": "balance",
}
EXPLAINED = (
    "Each fault meets running work. After it everything must come to rest, and everything since the start is counted, from what the",
    "commands of the heartbeats noted themselves: *lost* is not settled by a heartbeat of its owner; *twice* is in more than one batch;",
    "*again* are further attempts of the same batch; *overlaps* are commands that began while an older one of their agent ran, or with",
    "a token that is not newer; *balance* is accepted less all fates. A command of an old attempt that still lives is a problem, and so",
    "is a completion that was settled by a batch that was not told of it.",
)
TICKS_S = (0.1, 0.3, 1, 3, 10, 30)


def write(found: dict[str, Any], folder: Path) -> None:
    """`faults.md`, `faults.json`, `faults.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    dump(found, folder / "faults.json")
    (folder / "faults.md").write_text(table(found))
    (folder / "faults.svg").write_text(picture(found))


def table(found: dict[str, Any]) -> str:
    """The whole page."""
    took, kills = found["take_over_s"], sum(found["sigkills"].values())
    whom = ", ".join(f"{count} {what}" for what, count in sorted(found["sigkills"].items()))
    verdict = "Nothing was found." if not found["problems"] else "**Found:** " + "; ".join(found["problems"])
    where = f"{found['seconds']:.0f} s on {found['processors']} processors (load average {found['load_average'][0]})"
    shares = ", ".join(f"{name} {_s(took[key])}" for name, key in (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "p100")))
    lines = [
        "# Faults: measured by `make faults`",
        "",
        f"{found['campaign'].capitalize()} campaign, seed {found['seed']}: {where}.",
        f"The lease lasts {found['lease']['ttl_ms']} ms; the server has `appendfsync always`.",
        f"{kills} SIGKILLs ({whom}) over {found['completions']} completions in {found['heartbeats']} heartbeats. {verdict}",
        "",
        f"Take-over after a SIGKILL, from the kill to the next start of the same batch: n {took['n']}, {shares}.",
        "![Time to take over](faults.svg)",
        "",
        *EXPLAINED,
        "",
        "| fault | " + " | ".join(COLUMNS) + " | take-over: p50 / longest (n) | s |",
        "|---" + "|--:" * (len(COLUMNS) + 2) + "|",
        *(_row(act) for act in found["acts"]),
    ]
    lines += ["", *(f"Left out: {item}." for item in found["left_out"])] if found["left_out"] else []
    return "\n".join(lines) + "\n"


def _row(act: dict[str, Any]) -> str:
    waits = act["take_over_s"]
    took = f"{_s(percentile(waits, 50))} / {_s(max(waits))} ({len(waits)})" if waits else "-"
    return "| " + " | ".join([act["name"], *(str(act[name]) for name in COLUMNS.values()), took, f"{act['seconds']:.0f}"]) + " |"


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def picture(found: dict[str, Any]) -> str:
    """Each take-over as a dot, on a logarithmic axis of seconds, a line an act."""
    acts = [act for act in found["acts"] if act["take_over_s"]]
    bottom = HEIGHT + ROW * len(acts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + BAR + 40}" height="{bottom + 30}"',
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="20" font-size="14">From the fault to the next start of the same batch, s</text>',
    ]
    for tick in TICKS_S:
        parts.append(f'<line x1="{_x(tick):.0f}" y1="{HEIGHT - 20}" x2="{_x(tick):.0f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{_x(tick):.0f}" y="{bottom + 16}" text-anchor="middle">{tick}</text>')
    for number, act in enumerate(acts):
        y = HEIGHT + ROW * number
        parts.append(f'<text x="10" y="{y + 4}">{escape(act["name"])} ({len(act["take_over_s"])})</text>')
        parts += [f'<circle cx="{_x(s):.1f}" cy="{y}" r="4" fill="#1668a8" fill-opacity="0.4"/>' for s in act["take_over_s"]]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(seconds: float) -> float:
    low, high = log10(TICKS_S[0]), log10(TICKS_S[-1] * 1.6)
    return LEFT + BAR * (log10(max(seconds, TICKS_S[0])) - low) / (high - low)
