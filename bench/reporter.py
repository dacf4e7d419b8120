"""`python -m bench.reporter`: what the OpenClaw plugin costs an exec, its wrapper included. Writes bench/results/reporter.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.node import node
from tests.support.sources import ROOT

ROUNDS, REST_S = 40, 0.4  # the rest: the sender of a round, a process of its own, is gone before the next
PLUGIN = ROOT / "examples" / "openclaw" / "plugin"
WRAP_ONCE = ROOT / "tests/integration/examples/wrap_once.mjs"
RESULT = Path(__file__).parent / "results" / "reporter.md"
COMMAND = "echo done"
NOBODY = "http://127.0.0.1:9"


def wrapped(folder: Path, *, pty: bool) -> str:
    """The command as the plugin has it run."""
    (folder / "token").write_text("none\n")
    config = {"url": NOBODY, "tokenFile": str(folder / "token"), "spool": str(folder / "spool")}
    words = [config, {"command": COMMAND, "background": True, "pty": pty}, {}]
    done = subprocess.run(
        [node(), WRAP_ONCE, PLUGIN / "index.js", *map(json.dumps, words)], capture_output=True, text=True, timeout=60, check=True
    )
    return str(json.loads(done.stdout)["command"])


def ms(script: str) -> float:
    """From the start of the exec's shell to its end."""
    started = time.perf_counter()
    subprocess.run(["sh", "-c", script], stdout=subprocess.DEVNULL, timeout=60, check=True)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wake-reporter-") as name:
        folder = Path(name)
        scripts = {"plain": COMMAND, "with output": wrapped(folder, pty=False), "pty, no output": wrapped(folder, pty=True)}
        times: dict[str, list[float]] = {name: [] for name in scripts}
        for _ in range(ROUNDS):  # in turn, so that other work on the machine is shared by all
            for name, script in scripts.items():
                times[name].append(ms(script))
                time.sleep(REST_S)
            for report in (folder / "spool").glob("*.report"):
                report.unlink()
    plain = statistics.median(times["plain"])
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end"
    lines = [
        "# What reporting costs an exec",
        "",
        f"`python -m bench.reporter`, {ROUNDS} rounds, {machine}.",
        f"ms from the start of the shell that runs `{COMMAND}` to its end.",
        "",
        "| exec | median | 95th percentile | more than plain (median) |",
        "|---|---|---|---|",
    ]
    for name, found in times.items():
        high = statistics.quantiles(found, n=20)[-1]
        middle = statistics.median(found)
        lines.append(f"| {name} | {middle:.1f} | {high:.1f} | {middle - plain:.1f} |")
    RESULT.write_text("\n".join([*lines, ""]), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
