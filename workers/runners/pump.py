"""Moves the bytes of one command through one selector, which also wakes at the command's end and when its heartbeat must end."""

from __future__ import annotations

import fcntl
import os
import selectors
import sys
import termios
import time
from types import TracebackType

from workers.runners.gated import GatedCommand

CHUNK_BYTES = 64 * 1024
POLL_S = 0.02  # only where the kernel does not announce the end of a process


class Tail:
    """The last bytes of a stream of any length."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept = bytearray()
        self._cut = False

    def add(self, chunk: bytes) -> None:
        self._kept += chunk
        if len(self._kept) > self._limit_bytes:
            del self._kept[: len(self._kept) - self._limit_bytes]
            self._cut = True

    def text(self) -> str:
        """Decoded; what is no UTF-8 is replaced. An ellipsis in front says that there was more."""
        if not self._cut:
            return self._kept.decode("utf-8", "replace")
        # The rest of a character that the cut went through.
        halved = next((n for n, byte in enumerate(self._kept[:4]) if byte & 0xC0 != 0x80), 0)
        return "…" + self._kept[halved:].decode("utf-8", "replace")


def _bytes_waiting(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


class Pump:
    """Writes `payload`, keeps the tails of both outputs. Never blocks longer than it is told, however much either side writes."""

    def __init__(self, command: GatedCommand, payload: bytes, tail_bytes: int) -> None:
        self.stdout, self.stderr = Tail(tail_bytes), Tail(tail_bytes)
        self._command = command
        self._unsent = memoryview(payload)
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = os.pipe()
        pipes = command.process.stdin, command.process.stdout, command.process.stderr
        stdin, stdout, stderr = (pipe.fileno() for pipe in pipes if pipe)
        for fd in (self._bell, self._rope, stdin, stdout, stderr):
            os.set_blocking(fd, False)
        self._selector.register(stdin, selectors.EVENT_WRITE)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._outputs = {stdout: self.stdout, stderr: self.stderr}
        self._owed = {stdout: 0, stderr: 0}
        for output in self._outputs:
            self._selector.register(output, selectors.EVENT_READ)
        if command.exit_fd is not None:
            self._selector.register(command.exit_fd, selectors.EVENT_READ)

    @property
    def outputs_open(self) -> bool:
        """Whether somebody, the command or a process it left behind, can still write."""
        return bool(self._outputs)

    def wake(self) -> None:
        """Ends a running `step`, from any thread."""
        try:
            os.write(self._rope, b"!")
        except BlockingIOError:
            return  # it rings already

    def step(self, timeout_s: float) -> None:
        """Moves what can be moved; returns at the first event, after `timeout_s` at the latest."""
        if self._command.exit_fd is None:
            timeout_s = min(timeout_s, POLL_S)
        for key, _ in self._selector.select(timeout_s):
            if key.fd == self._bell:
                os.read(self._bell, CHUNK_BYTES)
            elif key.fd == self._command.exit_fd:
                self._selector.unregister(key.fd)  # stays readable for ever
            elif key.fd in self._outputs:
                self._read(key.fd)
            else:
                self._write(key.fd)

    def drain(self, patience_s: float) -> None:
        """After the command's end. What lies in its outputs is its own and is kept, however late we come to it; what a process that it left
        behind still writes only for `patience_s`."""
        for output in self._outputs:
            self._owed[output] = _bytes_waiting(output)
        until = time.monotonic() + patience_s
        while self._outputs and ((left_s := until - time.monotonic()) > 0 or any(self._owed[output] > 0 for output in self._outputs)):
            self.step(max(0.0, left_s))

    def _read(self, output: int) -> None:
        try:
            chunk = os.read(output, CHUNK_BYTES)
        except BlockingIOError:
            return
        if chunk:
            self._outputs[output].add(chunk)
            self._owed[output] -= len(chunk)
        else:
            self._selector.unregister(output)
            del self._outputs[output]

    def _write(self, stdin: int) -> None:
        try:
            self._unsent = self._unsent[os.write(stdin, self._unsent[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = self._unsent[:0]  # a command need not read its input
        if not self._unsent:
            self._selector.unregister(stdin)
            assert self._command.process.stdin
            self._command.process.stdin.close()

    def __enter__(self) -> Pump:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._selector.close()
        os.close(self._bell)
        os.close(self._rope)
