"""`make faults`: the campaign. Writes bench/results/faults.md, .json and .svg; exit code 1 when anything was found."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from shutil import rmtree

from bench.faults.campaign import Campaign
from bench.faults.report import write

RESULTS = Path(__file__).resolve().parents[1] / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a small one with a short lease, under 90 s on a quiet machine")
    parser.add_argument("--seed", type=int, default=1, help="who is hit when")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults whose name has it; writes no results")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and turns")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wake-faults-"))
    found = Campaign(folder, chosen.short, chosen.seed, lambda line: print(line, flush=True), chosen.only).run()
    if not chosen.only:
        write(found, chosen.results)
    if found["problems"]:
        print(*found["problems"], f"logs and turns: {folder}", sep="\n")
    elif not chosen.keep:
        rmtree(folder, ignore_errors=True)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
