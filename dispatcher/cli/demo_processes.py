"""The real processes of the demo: `wake up`, the commands under `wake exec`, and the burst with its one producer."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from dispatcher.cli.demo_scenario import COMMANDS, DemoCommand, burst
from dispatcher.cli.demo_verdict import Planned
from dispatcher.core.errors import WakeError

AT_A_TIME = 4  # commands under `wake exec`
COMMAND_LIMIT_S = 60.0
DRAIN_S, HURRIED_S = 60.0, 20.0
FOLLOW = "WAKE_SUPERVISED"  # `wake up` ends when its standard input does: also when this process is killed


class Dispatcher:
    """`wake up` as a process, with everything it says in `log`."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "up.log"
        self._data_dir = folder / "data"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers", "up"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=os.environ | {FOLLOW: "1"},
                start_new_session=True,  # Ctrl-C is for us; we pass it on once, when the commands are gone
            )

    def ended(self) -> str | None:
        """How it ended, if it did although nobody asked."""
        if self._process.poll() is None:
            return None
        return f"`wake up` ended with status {self._process.returncode}"

    def last_words(self) -> str:
        """Where its log is, and the last line there that tells of an error."""
        said = [line for line in self.log.read_text("utf-8", "replace").splitlines() if re.search(r"Error\b|\bERROR\b", line)]
        return f"see {self.log}" + (f", where it says: {said[-1]}" if said else "")

    def stop(self, patience_s: float = DRAIN_S) -> bool:
        """Drains it; whoever does not end is killed. False when that was necessary."""
        for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGTERM, HURRIED_S), (signal.SIGKILL, HURRIED_S)):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(wait_s)
                break
            except subprocess.TimeoutExpired:
                continue
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode == 0:
            return True
        # Workers follow a supervisor that was killed by themselves; the server does not.
        with suppress(OSError, ValueError, KeyError):
            os.kill(json.loads((self._data_dir / "server.json").read_text("utf-8"))["pid"], signal.SIGTERM)
        return False


class Running:
    """One command under `wake exec`, from its start to its report."""

    def __init__(self, command: DemoCommand, folder: Path, number: int) -> None:
        self.command = command
        self.started = time.monotonic()
        self.ended: float | None = None
        self.how = ""
        self.planned: Planned | None = None
        self._words: IO[bytes] = (folder / f"command-{number}.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dispatcher.cli", "exec", "--json", "--session-key", command.session_key, "--", *command.words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._words,
            cwd=folder,
            start_new_session=True,
        )

    def look(self) -> None:
        """Takes the report of `wake exec`, if it has ended."""
        if self.ended is not None or self.process.poll() is None:
            return
        self.ended = time.monotonic()
        said, _ = self.process.communicate()
        self._words.close()
        try:
            report = json.loads(said)
            delivered = report["status"] == "accepted"
        except (ValueError, KeyError, TypeError):
            self.how = f"no report, status {self.process.returncode}"
            return
        self.how = report["signal"] or f"exit {report['exit_code']}"
        if delivered:
            command = self.command
            self.planned = Planned(report["completion_id"], command.session_key, command.owner, command.dead_reason)
        else:
            self.how = f"{report['status']}: {report['error']}"

    def stop(self) -> None:
        """Ends it and what it runs; what it reports then is for nobody."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(HURRIED_S)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._words.close()


class Commands:
    """The commands of the scenario, a few at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting = list(COMMANDS)
        self.started: list[Running] = []

    def step(self) -> None:
        """Takes reports, and starts what there is room for."""
        for running in self.started:
            running.look()
        while self._waiting and sum(r.ended is None for r in self.started) < AT_A_TIME:
            self.started.append(Running(self._waiting.pop(0), self._folder, len(self.started)))

    def done(self) -> bool:
        return not self._waiting and all(r.ended is not None for r in self.started)

    def stop(self) -> None:
        for running in self.started:
            running.stop()


class Burst:
    """Runs the short commands one after another and reports each with one `.delay()`: one producer, in a thread."""

    def __init__(self) -> None:
        self.planned: list[Planned] = []
        self.failure: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="burst", daemon=True)
        self._begun = False

    def start(self) -> None:
        """Tolerates a second call."""
        if not self._begun:
            self._begun = True
            self._thread.start()

    def done(self) -> bool:
        return self._begun and not self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()
        if self._begun:
            self._thread.join(COMMAND_LIMIT_S)

    def _run(self) -> None:
        from dispatcher import exec_completed

        try:
            for command in burst():
                if self._stop.is_set():
                    return
                started_at = datetime.now(UTC)
                done = subprocess.run(command.words, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
                result = exec_completed.delay(
                    session_key=command.session_key,
                    command=shlex.join(command.words),
                    exit_code=done.returncode if done.returncode >= 0 else None,
                    signal=signal.Signals(-done.returncode).name if done.returncode < 0 else None,
                    output=done.stdout + done.stderr,
                    started_at=started_at,
                    finished_at=datetime.now(UTC),
                )
                self.planned.append(Planned(result.id, command.session_key, command.owner))
        except (WakeError, OSError, subprocess.SubprocessError) as error:
            self.failure = f"the burst stopped after {len(self.planned)} completions: {error}"
