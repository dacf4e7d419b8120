"""A process that runs commands as a worker does, to be killed and frozen. `python -m tests.support.runner_process` is its program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any

from tests.support.requests import request
from tests.support.sources import ROOT
from workers.reaper import Reaper
from workers.runners.command import CommandRunner
from workers.runners.protocol import Control


class RunnerProcess:
    """The handle on such a process. `stall`: it never gets to register a group; `fork`: it forks a child that lives on."""

    def __init__(self, *, trust_ms: int | None = None, stall: bool = False, fork: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.runner_process", json.dumps({"trust_ms": trust_ms, "stall": stall, "fork": fork})],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def start(self, *command: str, batch_id: str = "b-1") -> None:
        """Makes it run a command; what it then says is read with `hear`."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"command": command, "batch_id": batch_id}) + "\n")
        self._process.stdin.flush()

    def hear(self, word: str) -> Any:
        """The value of its next line, which must carry `word`: spawned (group), watched (reaper), forked (child), result."""
        assert self._process.stdout
        said, value = json.loads(self._process.stdout.readline())
        assert said == word
        return value

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.kill(self.pid, signal.SIGCONT) if self._process.poll() is None else None
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def say(word: str, value: object) -> None:
    print(json.dumps([word, value]), flush=True)


class AnnouncingReaper(Reaper):
    """The real one, which says where it is."""

    stall = False

    def watch(self, pgid: int, trust_ms: int | None) -> None:
        say("spawned", pgid)
        if self.stall:
            threading.Event().wait()
        super().watch(pgid, trust_ms)
        say("watched", self.pid)


def main() -> None:
    options = json.loads(sys.argv[1])
    reaper = AnnouncingReaper(answer_timeout_s=60)
    reaper.stall = options["stall"]
    for line in sys.stdin:
        order = json.loads(line)
        if options["fork"]:
            fork_in_mid_heartbeat(reaper)
        control = Control(600, trust_ms=options["trust_ms"])
        result = CommandRunner(order["command"], reaper=reaper).run(request(batch_id=order["batch_id"]), control)
        say("result", str(result))


def fork_in_mid_heartbeat(reaper: Reaper) -> None:
    """A child without exec, born when the reaper's socket is open, as multiprocessing makes them."""
    CommandRunner(["true"], reaper=reaper).run(request(), Control(600))
    if child := os.fork():
        say("forked", child)
    else:
        os.close(0)
        os.close(1)
        threading.Event().wait()


if __name__ == "__main__":
    main()
