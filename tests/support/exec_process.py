"""`wake exec` as a process of its own, in an empty folder, with a server or without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from tests.support.sources import ROOT

KEY = "agent:ops:main"
WAKE = (sys.executable, "-m", "dispatcher.cli")


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    """The environment of a child: nothing of ours but the server's address, and patience with it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WAKE_")}
    patient = {"WAKE_REDIS_SOCKET_TIMEOUT_MS": "60000", "WAKE_REDIS_CONNECT_TIMEOUT_MS": "60000"}
    address = {"WAKE_REDIS_URL": url} | patient if url else {}
    return plain | {"PYTHONPATH": str(ROOT)} | address | more


def exec_words(*words: str, key: str = KEY) -> list[str]:
    return [*WAKE, "exec", "--session-key", key, *words]


def run_exec(folder: Path, *words: str, key: str = KEY, url: str | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end; `words` are options, `--` and the command."""
    line = exec_words(*words, key=key)
    return subprocess.run(line, cwd=folder, env=environment(url), input=stdin, capture_output=True, timeout=200, check=False)


def start_exec(
    folder: Path, *words: str, url: str | None = None, stdout: int | IO[bytes] = subprocess.PIPE, stderr: int | IO[bytes] = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Starts it, without buffers on our side."""
    line = exec_words(*words)
    return subprocess.Popen(line, cwd=folder, env=environment(url), stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, bufsize=0)


def python(code: str, *arguments: str) -> list[str]:
    """A command that is a Python program."""
    return ["--", sys.executable, "-c", code, *arguments]


def kept(folder: Path) -> list[dict[str, Any]]:
    """What lies in the spool of a folder, oldest first."""
    return [json.loads(path.read_bytes()) for path in sorted((folder / ".wake" / "spool").glob("*.json"))]


def the_kept(folder: Path) -> dict[str, Any]:
    """The only completion in the spool."""
    [completion] = kept(folder)
    return completion


def read_until(stream: IO[bytes] | None, expected: bytes) -> bytes:
    """Reads byte by byte until `expected` came; fails at the end of the stream."""
    assert stream is not None
    seen = b""
    while not seen.endswith(expected):
        byte = stream.read(1)
        assert byte, f"the stream ended after {seen!r}, before {expected!r}"
        seen += byte
    return seen
