"""Every race that is known from elsewhere, and every bound, has a test here, which pytest really collects."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from dispatcher.config.sections import BoundsSettings
from tests.support.sources import ROOT

RACES = 35
TABLES = ("races.md", "bounds.md")
TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")


def rows(document: str) -> dict[str, list[str]]:
    """The tests that each line of the table names, by its first cell."""
    lines = [line for line in (ROOT / "docs" / document).read_text("utf-8").splitlines() if line.startswith("|")]
    return {line.split("|")[1].strip(): TEST.findall(line) for line in lines[2:]}


def test_every_race_has_its_line() -> None:
    assert list(rows("races.md")) == [str(number) for number in range(1, RACES + 1)]


@pytest.mark.parametrize("document", TABLES)
def test_every_line_names_a_test(document: str) -> None:
    assert rows(document)
    assert not [name for name, tests in rows(document).items() if not tests]


def test_every_bound_has_its_line() -> None:
    """All settings of [bounds] but those of what one heartbeat is shown."""
    text = (ROOT / "docs" / "bounds.md").read_text("utf-8")
    elsewhere = {"runner_output_bytes", "request_events", "request_bytes"}
    assert not [name for name in BoundsSettings.model_fields if name not in elsewhere and f"`{name}`" not in text]


def test_every_named_test_is_collected() -> None:
    """By pytest itself, so that a renamed, deselected or misspelt test fails here."""
    named = sorted({test for document in TABLES for tests in rows(document).values() for test in tests})
    words = ["-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *named]
    collected = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert collected.returncode == 0, collected.stdout + collected.stderr
    found = {line.partition("[")[0] for line in collected.stdout.splitlines() if "::" in line}
    assert found == set(named)
