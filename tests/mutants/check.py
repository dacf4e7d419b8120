"""`python -m tests.mutants.check`: each mutant must be caught. Writes bench/results/mutants.md and mutants.json.

Exit code 1 if one survives; 2 if the named tests do not pass on the unchanged tree, or a mutant is stale.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.mutants.cases import MUTANTS, Mutant
from tests.support.sources import ROOT

RESULTS = ROOT / "bench" / "results"
COPIED = ("dispatcher", "workers", "tests")
PARALLEL = 2
LIMIT_S = 600  # for the tests of one mutant on a busy machine


class StaleMutant(Exception):
    """The text that a mutant changes is not there, or more than once."""


class Judged(NamedTuple):
    """`caught_by`: the first test that failed, or None if the mutant survived."""

    caught_by: str | None
    seconds: float


def mutated(mutant: Mutant, text: str) -> str:
    """The text with one rule changed. Raises StaleMutant."""
    if text.count(mutant.old) != 1:
        times = text.count(mutant.old)
        raise StaleMutant(f"{mutant.file}: {mutant.old!r} occurs {times} times, not once; the rule moved, write its mutant anew")
    return text.replace(mutant.old, mutant.new)


def first_failure(tests: list[str], mutant: Mutant | None = None) -> str | None:
    """The first test that fails in a copy of the tree, changed by the mutant; or None. Raises RuntimeError if they could not run."""
    with tempfile.TemporaryDirectory(prefix="wake-mutant-") as place:
        folder = Path(place)
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if mutant:
            changed = mutated(mutant, (folder / mutant.file).read_text("utf-8"))
            (folder / mutant.file).write_text(changed, "utf-8")
        words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {"PYTHONPATH": place}
        done = subprocess.run(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False
        )
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return None
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"{' '.join(tests)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return failed[1]


def judge(mutant: Mutant) -> Judged:
    started = time.monotonic()
    return Judged(first_failure(mutant.tests.split(), mutant), round(time.monotonic() - started, 1))


def report(judged: list[tuple[Mutant, Judged]]) -> str:
    """The result as Markdown."""
    caught = sum(j.caught_by is not None for _, j in judged)
    lines = ["# Checked by `python -m tests.mutants.check`", "", f"One rule changed at a time: {caught} of {len(judged)} caught.", ""]
    lines += ["| file | what the change breaks | caught by | s |", "|---|---|---|---|"]
    for mutant, j in judged:
        by = f"`{j.caught_by.rpartition('/')[2]}`" if j.caught_by else "**nothing**"
        lines.append(f"| {mutant.file} | {mutant.breaks} | {by} | {j.seconds} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    try:
        for mutant in MUTANTS:
            mutated(mutant, (ROOT / mutant.file).read_text("utf-8"))
        broken = first_failure(sorted({test for mutant in MUTANTS for test in mutant.tests.split()}))
        if broken:
            print(f"{broken} fails on the unchanged tree", file=sys.stderr)
            return 2
        with ThreadPoolExecutor(PARALLEL) as pool:
            judged = list(zip(MUTANTS, pool.map(judge, MUTANTS), strict=True))
    except StaleMutant as error:
        print(error, file=sys.stderr)
        return 2
    text = report(judged)
    (RESULTS / "mutants.md").write_text(text, "utf-8")
    results = [mutant._asdict() | j._asdict() for mutant, j in judged]
    (RESULTS / "mutants.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(text)
    return int(any(j.caught_by is None for _, j in judged))


if __name__ == "__main__":
    sys.exit(main())
