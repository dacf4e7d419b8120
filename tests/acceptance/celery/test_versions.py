"""Why celery and kombu are pinned as they are. Other pairs are measured by `python -m bench.celery_versions`."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.broker_restarts import measure
from tests.support.sources import ROOT

ROUNDS, SECONDS = 6, 45.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_worker_dies_when_the_broker_restarts_with_messages_in_flight(tmp_path: Path) -> None:
    """The pinned pair, round after round: the server is stopped or killed under load, no worker process ends, nothing is lost."""
    tally = measure(tmp_path, ROUNDS, SECONDS)
    print(tally)
    assert tally.rounds >= 2
    assert (tally.died, tally.hit, tally.lost) == (0, 0, 0)


def test_the_pair_that_runs_here_is_the_pinned_one() -> None:
    """What the tests prove is proved for these versions: those of the lock, and within what an installation may choose."""
    locked = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert {f"celery=={version('celery')}", f"kombu=={version('kombu')}"} <= set(locked)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert "celery>=5.6.3,<5.7" in wanted
    assert "kombu[redis]>=5.7,<5.8" in wanted
