"""The lines of docs/http.md, typed as written in an empty folder; only the port is another one, for tests run side by side."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exec_process import environment
from tests.support.gates import wait_until
from tests.support.sources import ROOT

PATIENCE_S = 60.0
BLOCKS = [block.splitlines() for block in re.findall(r"```console\n(.*?)```", (ROOT / "docs/http.md").read_text("utf-8"), re.DOTALL)]
PORT = "8377"


class Terminal:
    """A folder in which several shells work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "bin").mkdir()
        (path / "work").mkdir()
        program = path / "bin" / "wake"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m dispatcher.cli "$@"\n')
        program.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.env = environment(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}", WAKE_HTTP_PORT=self.port)
        self.background: list[subprocess.Popen[bytes]] = []

    def start(self, line: str) -> None:
        with (self.path / "log").open("ab") as log:
            words = ["bash", "-c", line]
            self.background.append(
                subprocess.Popen(
                    words, cwd=self.path / "work", env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )

    def type(self, *lines: str) -> list[str]:
        """What is printed; each line must end well."""
        script = "set -e\n" + "\n".join(lines).replace(f":{PORT}", f":{self.port}")
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.path / "work", env=self.env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done
        return done.stdout.replace("}{", "}\n{").splitlines()

    def is_ready(self, *address: str) -> bool:
        done = subprocess.run(["curl", "-sS", *address], cwd=self.path / "work", capture_output=True, text=True, timeout=60, check=False)
        return done.stdout == '{"status":"ready"}'

    def close(self) -> None:
        for process in reversed(self.background):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)
        print((self.path / "log").read_text("utf-8", "replace")[-3000:])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    try:
        yield made
    finally:
        made.close()


def typed(block: list[str]) -> list[str]:
    return [line.removeprefix("$ ") for line in block if line.startswith("$ ")]


def shown(block: list[str]) -> list[str]:
    return [line for line in block if not line.startswith("$ ")]


def shape(line: str) -> dict[str, object]:
    """A document without what differs from one time to the next."""
    found = json.loads(line)
    made_up = ("accepted_at_ms", "at_ms", "wake_id", "detail")
    return {name: None if name in made_up else value for name, value in found.items()}


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_the_page_as_typed(terminal: Terminal) -> None:
    first, second, socket_server, socket_client = BLOCKS
    install, begin = typed(first)
    assert install == "pip install 'wake-dispatcher[http]'"
    terminal.start(begin)
    wait_until(lambda: terminal.is_ready(f"http://127.0.0.1:{terminal.port}/readyz"), PATIENCE_S, "it is ready", every_s=0.2)
    *documents, batch = terminal.type(*typed(second))
    assert [shape(line) for line in documents] == [shape(line) for line in shown(second)]
    assert [result["status"] for result in json.loads(batch)["results"]] == [202, 403]
    wait_until(lambda: "the disk is full" in (terminal.path / "work" / "heartbeats.log").read_text(), PATIENCE_S, "the wake was told")
    terminal.start(typed(socket_server)[0])
    wait_until(lambda: terminal.is_ready("--unix-socket", ".wake/http.sock", "http://localhost/readyz"), PATIENCE_S, "the socket is ready")
    assert terminal.type(*typed(socket_client)) == shown(socket_client)


def test_the_page_names_every_word_of_a_problem() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "dispatcher/http").glob("*.py"))
    words = set(re.findall(r'Refused\(\d{3}, "([a-z-]+)"', source)) | set(re.findall(r'Refused\(\s+\d{3}, "([a-z-]+)"', source))
    page = (ROOT / "docs/http.md").read_text("utf-8")
    assert {word for word in words if f"`{word}`" not in page} == {"unknown-completion", "bug"}
