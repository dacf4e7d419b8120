"""A program in the foreground of a terminal that we hold the other side of: what we type arrives there, what it shows we see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.gates import wait_until

PATIENCE_S = 60.0


class Screen:
    """Leaves nothing behind: the end of the block hangs up and kills what is still there."""

    def __init__(self, folder: Path, line: Sequence[str], env: Mapping[str, str], rows: int = 24, columns: int = 80) -> None:
        self.seen = b""
        start, prepared = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.close(prepared)
                os.read(start, 1)  # its end: the terminal has its size, and its modes were read
                os.chdir(folder)
                os.execvpe(line[0], list(line), dict(env))
            finally:
                os._exit(127)
        self.resize(rows, columns)
        self.modes_before = self.local_modes()
        os.close(start)
        os.close(prepared)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return

    def hang_up(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def see(self, expected: bytes) -> bytes:
        """Reads until that came after what was seen before; returns all up to its end."""
        until = time.monotonic() + PATIENCE_S
        while expected not in self.seen:
            assert select.select([self.fd], [], [], max(0.0, until - time.monotonic()))[0], f"{self.seen!r} has no {expected!r}"
            self.seen += self._read(f"{self.seen!r} has no {expected!r}")
        shown, self.seen = self.seen[: self.seen.index(expected) + len(expected)], self.seen[self.seen.index(expected) + len(expected) :]
        return shown

    def _read(self, complaint: str) -> bytes:
        try:
            chunk = os.read(self.fd, 65_536)
        except OSError:
            chunk = b""
        assert chunk, complaint
        return chunk

    def local_modes(self) -> int:
        """ECHO, ICANON, ISIG, … of the terminal."""
        modes = termios.tcgetattr(self.fd)[3]
        assert isinstance(modes, int)
        return modes

    def end(self) -> int:
        """The exit code, or minus a signal, once it has ended; what it still shows is read."""
        ended: list[int] = []

        def over() -> bool:
            if select.select([self.fd], [], [], 0)[0]:
                try:
                    self.seen += os.read(self.fd, 65_536)
                except OSError:
                    self.seen += b""
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            ended.extend([os.waitstatus_to_exitcode(status)] if pid else [])
            return bool(ended)

        wait_until(over, PATIENCE_S, "it ends")
        return ended[0]
