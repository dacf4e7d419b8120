"""What a command of `wake exec` writes: passed on byte by byte, its end kept.

Imports little, because the command waits for these imports.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time

DRAIN_IDLE_MS = 200  # after the command's end: this long without a word from a background process ends the drain
DRAIN_S = 2.0  # and this long ends it, however much such a process writes
CHUNK_BYTES = 64 * 1024


class Tail:
    """The last bytes of all streams together, in the order in which they came; no stream splits a character of another."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self._begun: dict[int, bytes] = {}  # stream -> the first bytes of a character whose rest has not come
        self._lock = threading.Lock()

    def add(self, stream: int, chunk: bytes) -> None:
        with self._lock:
            chunk = self._begun.pop(stream, b"") + chunk
            if begun := _unfinished(chunk):
                self._begun[stream] = chunk[-begun:]
                chunk = chunk[:-begun]
            self._kept += chunk
            if len(self._kept) > 2 * self._max_bytes:
                del self._kept[: -self._max_bytes - 3]

    def text(self) -> str:
        """At most `max_bytes` of UTF-8, cut on a character boundary; bytes that are no UTF-8 become U+FFFD."""
        with self._lock:
            kept = bytes(self._kept) + b"".join(self._begun.values())
        return kept[-self._max_bytes - 3 :].decode("utf-8", "replace").encode()[-self._max_bytes :].decode("utf-8", "ignore")


def _unfinished(chunk: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character without ending it."""
    for count in range(1, min(3, len(chunk)) + 1):
        byte = chunk[-count]
        if byte & 0b1100_0000 != 0b1000_0000:  # not a continuation: it tells how long its character is
            size = 4 if byte >= 0b1111_0000 else 3 if byte >= 0b1110_0000 else 2 if byte >= 0b1100_0000 else 1
            return count if size > count else 0
    return 0


class Relay:
    """Copies one pipe or terminal of the command to one of our own descriptors, in a thread of its own."""

    def __init__(self, source: int, target: int, tail: Tail | None, ended: int) -> None:
        self.target = target
        self.left_open: int | None = None  # the pipe, when a background process still holds its other end
        self._source = source
        self._tail = tail
        self._ended = ended  # readable (end of file) as soon as the command has ended
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits until all that the command wrote is written; False when our reader is too slow for that."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._ended in ready:
                poll.unregister(self._ended)
                return self._drain(poll)
            if not self._copy():
                return None

    def _drain(self, poll: select.poll) -> None:
        """All that lies in the pipe at the command's end is its own and is copied; what comes later only for a moment."""
        owed, until = _bytes_waiting(self._source), time.monotonic() + DRAIN_S
        while owed > 0 or time.monotonic() < until:
            if not poll.poll(DRAIN_IDLE_MS):
                break
            if not (copied := self._copy()):
                return
            owed -= copied
        self.left_open = self._source

    def _copy(self) -> int:
        """The number of bytes copied; 0 at the end of either side, and the pipe is closed."""
        chunk = _read(self._source)
        if chunk and self._tail is not None:
            self._tail.add(self.target, chunk)
        if not chunk or not write_all(self.target, chunk):
            os.close(self._source)  # our reader left: the command meets it at its next write, as it would without us
            return 0
        return len(chunk)


def _read(fd: int) -> bytes:
    """Nothing at the end. That of a terminal, when nobody holds its other side any more, is an error on Linux."""
    try:
        return os.read(fd, CHUNK_BYTES)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _bytes_waiting(fd: int) -> int:
    import fcntl  # only now: the command must not wait for it
    import termios

    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)


def write_all(fd: int, chunk: bytes) -> bool:
    """False when nobody can take it any more."""
    view = memoryview(chunk)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody we share it with made it non-blocking
            select.select([], [fd], [])
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                say(f"the command's output cannot be written: {error}")
            return False
    return True


def say(text: str) -> None:
    """One line on stderr; nothing if nobody listens there."""
    try:
        os.write(2, f"wake: {' '.join(text.split())}\n".encode("utf-8", "replace"))
    except OSError:
        return
