"""`make bench`: this program beside what users would pick instead. Writes bench/results/speed.md, speed.json and pictures.

python -m bench                      every workload, within a quarter of an hour
python -m bench --only w2,w3         these; `rates`, `w1` to `w7`
python -m bench --long               more rounds, more kills, a million completions, 100 000 agents: about an hour
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.growing import w6, w7
from bench.racing import RACES, race
from bench.rates import rates
from bench.report import page, write
from bench.standing import w4, w5

RESULTS = Path(__file__).parent / "results"
ALL = ("rates", *RACES, "w4", "w5", "w6", "w7")
RACES_S, LIMIT_S = 420.0, 780.0  # no round of a race, no further workload begins after so long


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", default=",".join(ALL), help="comma separated: " + ", ".join(ALL))
    asked.add_argument("--rounds", type=int, default=0, help="of each race and rate; 0: 3, with --long 7")
    asked.add_argument("--long", action="store_true", help="the whole ranges")
    asked.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    options = asked.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(ALL):
        asked.error(f"no such workload: {', '.join(sorted(unknown))}")
    found = measure(wanted, options.rounds or (7 if options.long else 3), long=options.long)
    write(found, options.results)
    print(page(found))


def measure(wanted: list[str], rounds: int, *, long: bool) -> dict[str, Any]:
    """Everything that is asked for; without `long`, what does not fit into the time is left out and said."""
    started, far = time.monotonic(), float("inf")
    found: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        "commit": commit(),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }
    if "rates" in wanted:
        found["rates"] = rates(rounds)
        say(f"rates: {found['rates']}")
    if names := [name for name in wanted if name in RACES]:
        found["races"] = race(names, rounds, far if long else started + RACES_S, say)
    for name, parts in ranges(long).items():
        for part in parts if name in wanted else []:
            if not long and time.monotonic() - started > LIMIT_S:
                say(f"{name}: no time left")
                break
            figures = part()
            say(f"{name}: {figures}")
            found.setdefault(name, []).append(figures)
    if "w4" in found:
        found["w4"] = found["w4"][0]
    return found | {"seconds": time.monotonic() - started, "load_average": os.getloadavg()}


def commit() -> str:
    """Which state of the program is measured; `unknown` outside of a clone."""
    words = ["git", "-C", str(RESULTS), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def ranges(long: bool) -> dict[str, list[Any]]:
    """The parts of each workload that is not a race."""
    idle = [(1_000, 60.0), (10_000, 60.0), (100_000, 60.0)] if long else [(1_000, 10.0), (100_000, 10.0)]
    fleets = [(agents, workers) for agents in (10, 1_000, 100_000) for workers in (1, 2)] if long else [(1_000, 1)]
    small = [(1_000, 10), (100_000, 10), (100_000, 100_000)]
    grown = [(backlog, 10_000) for backlog in (1_000, 10_000, 100_000, 1_000_000)] + [(100_000, n) for n in (10, 1_000, 100_000)]
    return {
        "w4": [lambda: w4(20 if long else 8)],
        "w5": [lambda agents=agents, idle_s=idle_s: w5(agents, idle_s) for agents, idle_s in idle],
        "w6": [lambda agents=agents, workers=workers: w6(agents, workers, 20.0 if long else 5.0) for agents, workers in fleets],
        "w7": [lambda backlog=backlog, agents=agents: w7(backlog, agents) for backlog, agents in (grown if long else small)],
    }


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text[:400]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
