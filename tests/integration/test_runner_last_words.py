"""What a command wrote before it ended is kept, however late its worker comes to read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatcher.core.models import Failed, Ran
from tests.support.requests import request
from workers.reaper import Reaper
from workers.runners import Control, RunResult
from workers.runners.command import CommandRunner
from workers.runners.pump import Pump


class Late(Pump):
    """Reads nothing before the command has ended, and no time is left then: a worker that stood still meanwhile."""

    late = False

    def drain(self, patience_s: float) -> None:
        self.late = True
        super().drain(patience_s - 3600.0)

    def _read(self, output: int) -> None:
        if self.late:
            super()._read(output)


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reaper]:
    monkeypatch.setattr("workers.runners.command.Pump", Late)
    reaper = Reaper(answer_timeout_s=60)
    yield reaper
    reaper.close()


def sh(script: str, reaper: Reaper) -> RunResult:
    return CommandRunner(["sh", "-c", script], reaper=reaper).run(request(), Control(60))


def test_the_last_words_of_both_outputs_are_kept(reaper: Reaper) -> None:
    assert sh("echo out; echo err >&2; exit 3", reaper) == Failed(error="exit code 3: err", note="out\nerr")


def test_who_goes_on_writing_is_not_waited_for(reaper: Reaper) -> None:
    """A process that the command left behind could fill a pipe for ever."""
    result = sh("echo done; yes >&2 & exit 0", reaper)
    assert isinstance(result, Ran)
    assert result.note == "done"
