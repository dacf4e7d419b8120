"""The project's own vectors hold, and the runner never calls something passed that it did not check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.runner import Runner
from tests.conformance.vector import OWN_FILES, Vector, differences, read

ROOT = Path(__file__).parents[2]
SINGLE = [vector for path in OWN_FILES for vector in read(path) if not vector.multi_step]
THEN = {"shape": "legacy_or_alias"}
HOLDS = {"area": "session-key", "name": "holds", "given": {}, "when": [{"op": "shape", "key": "main"}], "then": THEN}


def score(tmp_path: Path, vectors: Any, declared: dict[str, str] | None = None) -> tuple[str, list[str]]:
    """The closing line and the failure lines of a file with these vectors."""
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(vectors), "utf-8")
    with Runner(declared or {}) as runner:
        runner.run_file(path)
    return str(runner.score), runner.score.lines


@pytest.mark.parametrize("vector", SINGLE, ids=[f"{vector.area}: {vector.name}" for vector in SINGLE])
def test_single_step_vector(vector: Vector) -> None:
    """What a user who moves over expects of the pure functions."""
    with Runner() as runner:
        runner.run(vector)
    assert runner.score.failed == 0, runner.score.lines


def test_every_area_of_the_contract_has_vectors() -> None:
    """A copy that went missing would make everything above pass."""
    assert {path.stem for path in OWN_FILES} == {"active-hours", "coalesce", "cooldown", "exec-text", "schedule", "session-key"}
    assert len(SINGLE) >= 70


def test_every_declared_difference_names_a_vector() -> None:
    """The list of differences stays short and honest."""
    names = {vector.name for path in OWN_FILES for vector in read(path)}
    assert set(differences()) <= names


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"then": {"shape": "agent"}}, "expected shape 'agent', saw 'legacy_or_alias'"),
        ({"then": {"colour": "red"}}, "unknown expectation colour"),
        ({"then": {"shape": "legacy_or_alias", "colour": "red"}}, "unknown expectation colour"),
        ({"then": {}}, "no expectation"),
        ({"when": [{"op": "dance"}]}, "unknown op dance"),
        ({"when": [{"op": "shape", "key": "main"}, {"op": "dance"}]}, "unknown op dance"),
        ({"when": [{"op": "shape", "key": "main"}] * 2}, "2 steps"),
        ({"area": "cooking"}, "unknown area 'cooking'"),
        ({"when": [{"op": "shape"}]}, "KeyError"),
    ],
)
def test_what_is_wrong_or_unknown_fails_even_when_declared(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """Only a checked expectation that does not hold can be a declared difference."""
    closing, lines = score(tmp_path, [HOLDS, {**HOLDS, **change, "name": "changed"}])
    assert closing == "1 passed, 1 failed, 0 declared"
    assert len(lines) == 1
    assert words in lines[0]
    declared, _ = score(tmp_path, [{**HOLDS, **change, "name": "changed"}], {"changed": "on purpose"})
    assert declared == ("0 passed, 0 failed, 1 declared" if words.startswith("expected") else "0 passed, 1 failed, 0 declared")


def test_a_declared_difference_that_holds_is_a_failure(tmp_path: Path) -> None:
    """The list must shrink when the program comes to agree."""
    closing, lines = score(tmp_path, [HOLDS], {"holds": "on purpose"})
    assert closing == "0 passed, 1 failed, 0 declared"
    assert "remove it" in lines[0]


@pytest.mark.parametrize("content", [{"no": "list"}, [{"name": "half"}], [{**HOLDS, "when": []}]])
def test_a_file_of_another_form_is_a_failure(tmp_path: Path, content: Any) -> None:
    """So is one that cannot be read at all."""
    assert score(tmp_path, content)[0] == "0 passed, 1 failed, 0 declared"
    with Runner({}) as runner:
        runner.run_file(tmp_path / "missing.json")
    assert runner.score.failed == 1


@pytest.mark.parametrize(("then", "code"), [({"shape": "legacy_or_alias"}, 0), ({"shape": "missing"}, 1)])
def test_the_command_closes_with_the_score_and_exits_by_it(tmp_path: Path, then: dict[str, str], code: int) -> None:
    """`python -m tests.conformance FILE…`, as a user types it."""
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([HOLDS, {**HOLDS, "name": "second", "then": then}]), "utf-8")
    done = subprocess.run([sys.executable, "-m", "tests.conformance", str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1] == f"{2 - code} passed, {code} failed, 0 declared"
    assert len(done.stdout.splitlines()) == 1 + code
