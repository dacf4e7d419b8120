"""An empty folder in which a test types what a page says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.exec_process import environment

PATIENCE_S = 120.0


class Folder:
    """An empty folder, and a shell that finds `wake`."""

    def __init__(self, path: Path) -> None:
        self.path = path / "empty"
        self.path.mkdir()
        (path / "bin").mkdir()
        wake = path / "bin" / "wake"
        wake.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m dispatcher.cli "$@"\n')
        wake.chmod(0o755)
        self.env = environment(PATH=f"{wake.parent}{os.pathsep}{os.environ['PATH']}")
        self.background: list[subprocess.Popen[bytes]] = []

    def run(self, line: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.path,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )

    def start(self, line: str) -> None:
        with (self.path.parent / "log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", line], cwd=self.path, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.background.append(process)

    def close(self) -> None:
        for process in self.background:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)
