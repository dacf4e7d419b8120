"""What the documents point at exists, and what they promise has a test."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import dispatcher
from tests.support.sources import ROOT, files, name

DOCUMENTS = [p for p in files() if p.suffix == ".md"]
PATH = re.compile(r"(?<![\w/.])((?:dispatcher|workers|tests|bench|examples|docs|lua)/[\w./*-]*[\w*])")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_path_in_a_document_exists(path: Path) -> None:
    roots = (ROOT, path.parent, path.parent.parent)
    missing = [found for found in PATH.findall(path.read_text("utf-8")) if not any(list(root.glob(found)) for root in roots)]
    assert not missing, f"{name(path)} points at {missing}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_no_document_promises_exactly_once(path: Path) -> None:
    text = path.read_text("utf-8").lower()
    assert not re.search(r"exactly[ -]once", text), f"{name(path)}: say what is deduplicated, by whom and for how long"


def test_every_promise_of_the_readme_names_its_proof() -> None:
    rows = [line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("|")]
    head = next(i for i, row in enumerate(rows) if "proved by" in row.lower())
    promises = [row for row in rows[head + 2 :] if row.count("|") == rows[head].count("|")]
    assert len(promises) > 3
    assert not [row for row in promises if not re.search(r"tests/[\w/]+\.py", row)]


def test_the_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{dispatcher.__version__}]" in text or "## [Unreleased]" in text


def test_the_lock_pins_every_dependency_and_names_no_index() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(item for extra in project["optional-dependencies"].values() for item in extra)]
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    pinned = {re.split(r"==", line)[0] for line in lines}
    assert not [line for line in lines if not re.match(r"[a-z0-9._-]+==[\w.+!-]+( ; .+)?$", line)]
    assert {re.split(r"[<>=\[ ]", item)[0].lower() for item in wanted} <= pinned
