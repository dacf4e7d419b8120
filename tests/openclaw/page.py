"""The table in the manual: what was seen in a run, beside what the gateway does alone. Nothing in it is written by hand."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from tests.openclaw import alone
from tests.openclaw.gateway import RELEASE
from tests.openclaw.scenes import Row

BEGIN, END = "<!-- seen: written by python -m tests.openclaw --write -->", "<!-- end of seen -->"


def put_into(document: Path, seen: Mapping[str, Row]) -> None:
    """Replaces what stands between the marks. `seen` is the row of each scene, by its name."""
    head, _, rest = document.read_text("utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    document.write_text("\n".join([f"{head}{BEGIN}", *_lines(seen), f"{END}{tail}"]), "utf-8")


def _lines(seen: Mapping[str, Row]) -> list[str]:
    load = ", ".join(f"{value:.0f}" for value in os.getloadavg())
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load average {load} when the run ended"
    beside = {fact.scene: f"{fact.tried}: {fact.seen}" for fact in alone.MEASURED if fact.scene}
    return [
        f"With this program: release {RELEASE}, {machine}.",
        f"The gateway alone: measured earlier on release {alone.RELEASE}, not in this run.",
        "",
        "| tried | with this program | the gateway alone, measured earlier |",
        "|---|---|---|",
        *(f"| {row.tried} | {row.seen} | {beside.get(name, 'not measured')} |" for name, row in seen.items()),
        *(f"| {fact.tried} | not tried in this run | {fact.seen} |" for fact in alone.MEASURED if not fact.scene),
    ]
