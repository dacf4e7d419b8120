"""`python -m tests.fuzz [SECONDS]`: the campaign, some minutes. Writes bench/results/fuzz.md. Exit code 1 if there is a defect.

SECONDS (20) is the time of each target and each way of making inputs. Coverage-guided inputs need the extra `fuzz`.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz import live
from tests.fuzz.targets import PURE, SEEDS
from tests.support.desk import Desk
from tests.support.gateway import Gateway
from tests.support.ingress import Ingress
from tests.support.server import Server
from tests.support.sources import ROOT

PAGE = ROOT / "bench" / "results" / "fuzz.md"
SEED = 20_261_122


class Row(NamedTuple):
    """What became of the inputs of one target, made in one way."""

    target: str
    way: str
    inputs: int
    ends: dict[str, int]
    slowest_ms: float | None
    defect: str = ""


def varied(name: str, seconds: int) -> Row:
    """Seeds with changes, at random."""
    chance, ends, slowest_s = random.Random(SEED), Counter[str](), 0.0
    until = time.monotonic() + seconds
    while (before := time.monotonic()) < until:
        data = live.mutated(chance, chance.choice(SEEDS[name]))
        try:
            ends[_word(PURE[name](data))] += 1
        except Exception:  # noqa: BLE001  whatever it is, it is the result
            return Row(name, "varied", ends.total(), dict(ends), slowest_s * 1000, f"{data[:200]!r}: {traceback.format_exc(limit=-1)}")
        slowest_s = max(slowest_s, time.monotonic() - before)
    return Row(name, "varied", ends.total(), dict(ends), slowest_s * 1000)


def _word(end: str) -> str:
    assert end, "refused without a reason"
    return end


def guided(name: str, seconds: int) -> Row:
    """By coverage, in a process of its own: it ends with the first defect."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        words = [sys.executable, "-m", "tests.fuzz.guided", name, str(seconds), str(results)]
        done = subprocess.run(words, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
        told = json.loads(results.read_text()) if results.exists() else {"ends": {}, "slowest_ms": None}
    ends = told["ends"]
    defect = "" if done.returncode == 0 else done.stderr[-800:]
    return Row(name, "by coverage", sum(ends.values()), ends, told["slowest_ms"], defect)


@contextmanager
def _desk(folder: Path, server: Server) -> Iterator[Desk]:
    desk = Desk(folder, server.url)
    yield desk
    desk.store.close()


@contextmanager
def _gateway(folder: Path, server: Server) -> Iterator[Gateway]:
    gateway = Gateway(folder, server)
    try:
        yield gateway
    finally:
        gateway.close()


@contextmanager
def _ingress(folder: Path, server: Server) -> Iterator[Ingress]:
    ingress = Ingress(folder, server.url, "auth_failures = 100000")
    try:
        yield ingress.ready()
    finally:
        ingress.close()


@contextmanager
def _folder(folder: Path, _: Server) -> Iterator[Path]:
    yield folder


PLACES: dict[str, tuple[Callable[[Path, Server], Any], int]] = {
    "entries of the inbox": (_desk, 100),
    "items on the queues": (_gateway, 50),
    "bytes to the ingress": (_ingress, 100),
    "what a command prints": (_folder, 5),
}


def lively(name: str, seconds: int) -> Row:
    """Against real processes; so many inputs per second of the campaign as that target can take."""
    place, per_s = PLACES[name]
    count = per_s * seconds
    with (
        tempfile.TemporaryDirectory(prefix="wk-") as folder,
        Server(appendfsync="everysec") as server,
        place(Path(folder), server) as there,
    ):
        try:
            return Row(name, "live", count, live.LIVE[name](there, random.Random(SEED), count), None)
        except Exception:  # noqa: BLE001  whatever it is, it is the result
            return Row(name, "live", count, {}, None, traceback.format_exc(limit=-2))


def page(rows: list[Row], seconds: int) -> str:
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    inputs, defects = sum(row.inputs for row in rows), sum(bool(row.defect) for row in rows)
    lines = [
        f"# Measured by `python -m tests.fuzz {seconds}`",
        "",
        f"{inputs} inputs, {defects} defects. Python {platform.python_version()}; at most {memory_mib} MiB of memory.",
        "A defect is an exception, a process that ends, a time limit, or a broken promise of `tests/fuzz/targets.py`.",
        "",
        "| target | inputs made | inputs | what became of them | slowest, ms | defect |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ends = ", ".join(f"{count} {word}" for word, count in sorted(row.ends.items(), key=lambda pair: -pair[1])[:6])
        slowest = "-" if row.slowest_ms is None else f"{row.slowest_ms:.0f}"
        lines.append(f"| {row.target} | {row.way} | {row.inputs} | {ends} | {slowest} | {'**yes**' if row.defect else 'none'} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    ways = [varied, guided] if importlib.util.find_spec("atheris") else [varied]
    if guided not in ways:
        print("without inputs by coverage: atheris is not installed (the extra `fuzz`)", file=sys.stderr)
    rows = []
    every = ((way, name) for names, ways in ((PURE, ways), (PLACES, [lively])) for name in names for way in ways)
    for way, name in every:
        row = way(name, seconds)
        rows.append(row)
        print(f"{row.target}, {row.way}: {row.inputs} {row.ends} {row.defect or 'no defect'}", file=sys.stderr, flush=True)
    PAGE.write_text(page(rows, seconds), "utf-8")
    return 1 if any(row.defect for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
