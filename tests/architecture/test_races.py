"""Every race that is known from elsewhere has a test here, which pytest really collects."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.sources import ROOT

RACES = 35
TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")


def rows() -> dict[int, list[str]]:
    """The tests that each line of the table names."""
    lines = (ROOT / "docs" / "races.md").read_text("utf-8").splitlines()
    return {int(found[1]): TEST.findall(line) for line in lines if (found := re.match(r"\| (\d+) \|", line))}


def test_every_line_names_a_test() -> None:
    table = rows()
    assert sorted(table) == list(range(1, RACES + 1))
    assert not [number for number, tests in table.items() if not tests]


def test_every_named_test_is_collected() -> None:
    """By pytest itself, so that a renamed, deselected or misspelt test fails here."""
    named = sorted({test for tests in rows().values() for test in tests})
    words = ["-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *named]
    collected = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert collected.returncode == 0, collected.stdout + collected.stderr
    found = {line.partition("[")[0] for line in collected.stdout.splitlines() if "::" in line}
    assert found == set(named)
