"""What every heartbeat of the benchmark does, whoever runs it: it takes its time and notes who ran, when and with what."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

NOTES, TURN_S = "BENCH_NOTES", "BENCH_TURN_S"


class Turn(NamedTuple):
    """One heartbeat; times are ns since the epoch."""

    started: int
    ended: int
    agent: str
    ids: list[str]


def heartbeat(agent: str, ids: list[str]) -> None:
    """Runs for `BENCH_TURN_S` seconds and notes it with one write at its end."""
    started = time.time_ns()
    pause = float(os.environ.get(TURN_S, "0"))
    if pause:
        time.sleep(pause)
    line = json.dumps([started, time.time_ns(), agent, ids]) + "\n"
    log = os.open(os.environ[NOTES], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(log, line.encode())
    os.close(log)


class Notes:
    """The notes as they grow; each line is read once."""

    def __init__(self, path: Path) -> None:
        self.path, self.turns, self._at = path, list[Turn](), 0

    def read(self) -> list[Turn]:
        """All turns that have ended."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._at += len(whole)
            self.turns += [Turn(*json.loads(line)) for line in whole.splitlines()]
        return self.turns

    def wait(self, count: int, limit_s: float) -> bool:
        """Until so many different ids were noted; whether they were within `limit_s`."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if len({one for turn in self.read() for one in turn.ids}) >= count:
                return True
            time.sleep(0.01)
        return False
