"""The fault campaign: a short one on real processes finds nothing, and what one must find is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.faults.campaign import percentile
from bench.faults.evidence import Turn, overlaps, read_turns, take_overs
from bench.faults.report import picture, table
from tests.support.sources import ROOT

LIMIT_S = 600  # under 90 s on a quiet machine


def turn(agent: str = "a0", batch: str = "a0-1", started: float = 0.0, ended: float | None = 1.0, token: int = 1, parent: int = 7) -> Turn:
    return Turn(agent, agent, f"agent:{agent}:main", batch, 1, token, ("c1",), 99, "1", parent, started, ended, ())


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_S + 60)
def test_a_short_campaign_finds_nothing(tmp_path: Path) -> None:
    words = ["-P", "-m", "bench.faults", "--short", "--results", str(tmp_path)]
    ended = subprocess.run([sys.executable, *words], cwd=ROOT, env=None, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "faults.json").read_text())
    assert found["problems"] == []
    acts = {act["name"]: act for act in found["acts"]}
    assert len(acts) + len(found["left_out"]) == 17
    assert [name for name, act in acts.items() if not act["injected"]] == []
    assert found["take_over_s"]["n"] > 0
    # Every receipt of it was one that the reference model allows, or it would be a problem.
    assert found["receipts"]["begun"] >= found["receipts"]["ran"] > 0
    assert found["receipts"]["taken-over"] > 0
    for act in acts.values():
        assert [act[name] for name in ("lost", "twice", "foreign", "overlaps", "balance")] == [0] * 5
    assert set(found["sigkills"]) == {"threads", "child", "router", "producer", "server"}
    assert (tmp_path / "faults.md").read_text() == table(found)
    assert (tmp_path / "faults.svg").read_text() == picture(found)


def test_an_overlap_is_found() -> None:
    """By time, and by a token that did not grow; another agent's turn is none."""
    assert overlaps([turn(), turn(started=1.0, token=2)]) == 0
    assert overlaps([turn(), turn(started=0.5, token=2)]) == 1
    assert overlaps([turn(), turn(started=1.0, token=1)]) == 1
    assert overlaps([turn(), turn(agent="a1", started=0.5)]) == 0


def test_a_take_over_is_measured_from_the_death_of_its_process() -> None:
    cut_off, again, later = turn(ended=None), turn(started=3.0, token=2), turn(started=9.0, token=3)
    assert take_overs([cut_off, again, later], {7: 1.0}) == [2.0]
    assert take_overs([turn(), again], {7: 1.5}) == []
    assert take_overs([cut_off, again], {8: 1.0}) == []


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3.0, 1.0, 2.0], p) for p in (50, 99, 100)] == [2.0, 3.0, 3.0]
    assert percentile([], 50) is None


def test_turns_are_read_as_they_were_noted(tmp_path: Path) -> None:
    words = {"agent_id": "a0", "session_key": "agent:a0:main", "batch_id": "b", "attempt": 2, "token": 5, "completion_ids": ["c1"]}
    start = {"word": "start", "turn": "9.1", "pid": 9, "born": "1", "parent": 3, "at": 1.5, "beside": [4]} | words
    (tmp_path / "a0.jsonl").write_text(json.dumps(start) + "\n" + json.dumps({"word": "end", "turn": "9.1", "at": 2.5}) + "\n")
    (found,) = read_turns(tmp_path, ["a0", "a1"])
    assert (found.agent, found.attempt, found.started, found.ended, found.beside) == ("a0", 2, 1.5, 2.5, (4,))
