"""The command of `wake exec` as a child: its streams passed through, signals passed on, its end told.

Imports little, because the command waits for these imports.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
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
    """Copies one pipe of the command to one of our own descriptors, in a thread of its own."""

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
        chunk = os.read(self._source, CHUNK_BYTES)
        if chunk and self._tail is not None:
            self._tail.add(self.target, chunk)
        if not chunk or not _write_all(self.target, chunk):
            os.close(self._source)  # our reader left: the command meets it at its next write, as it would without us
            return 0
        return len(chunk)


class Child:
    """A command, started by the constructor, and what connects it to us. `failure` is set when it could not be started.

    It leads a process group of its own, so that what is forwarded reaches all of it. In the foreground of a terminal it stays in our
    group, as under a shell: the terminal itself then signals both of us, and only what did not come from the terminal is forwarded.
    With `keep_output_bytes` 0 it writes to our own descriptors and nothing passes through us. `to_stderr` sends all it writes there.
    """

    def __init__(self, argv: list[str], *, keep_output_bytes: int, to_stderr: bool = False) -> None:
        _occupy_closed_descriptors()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody is told how a child ended
        self.failure: OSError | None = None
        self.on_signal: Callable[[int], None] = lambda _number: None  # called with what arrives after the command's end
        self._lock = threading.Lock()
        self._ended = False
        self._own_group = not _in_foreground()
        # Blocked before the start, so that no signal is lost between it and the thread that waits for them. One that is ignored
        # (nohup, a shell's background job) stays ignored, by the command too.
        self._signals = {number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        actions, pipes = _plan(keep_output_bytes > 0, to_stderr)
        try:
            self._pid = self._spawn(argv, actions)
        except OSError as error:
            self.failure, self._ended = error, True
        for _, write_end, _ in pipes:
            os.close(write_end)
        self.tail = Tail(keep_output_bytes)
        ended, self._tell_end = os.pipe()
        tail = self.tail if keep_output_bytes else None
        self._relays = [Relay(source, target, tail, ended) for source, _, target in pipes]
        threading.Thread(target=self._forward, daemon=True).start()

    def _spawn(self, argv: list[str], actions: list[tuple[int, int, int]]) -> int:
        return os.posix_spawnp(
            argv[0],
            argv,
            os.environ,
            file_actions=actions,
            setsigmask=self._mask,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these two, a command must not
            setpgroup=0 if self._own_group else os.getpgrp(),
        )

    def wait(self) -> int:
        """Waits for the command's end: its exit code, or minus the number of the signal that ended it."""
        if self.failure is not None:
            return 127 if isinstance(self.failure, FileNotFoundError) else 126
        if sys.platform == "darwin":  # has no waitid: a signal right after the reaping goes nowhere
            _, status = os.waitpid(self._pid, 0)
            self._mark_ended()
        else:
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
            self._mark_ended()  # not reaped yet: nobody else can have got its number while we still signal it
            _, status = os.waitpid(self._pid, 0)
        os.close(self._tell_end)
        return os.waitstatus_to_exitcode(status)

    def _mark_ended(self) -> None:
        with self._lock:
            self._ended = True

    def drain(self, timeout_s: float | None = None) -> bool:
        """Waits until what the command wrote has reached our reader; False when that takes longer than `timeout_s`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        return all(relay.join(None if until is None else max(0.0, until - time.monotonic())) for relay in self._relays)

    def release(self) -> None:
        """Leaves a `cat` in our place where a background process of the command still writes: without one, its next word would kill it.

        A terminal or a file gets what it writes. A pipe does not: its reader waits for the end of the command, not of what it left behind.
        """
        for relay in self._relays:
            if relay.left_open is not None:
                self._leave_cat(relay.left_open, relay.target)

    def _leave_cat(self, source: int, target: int) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        mode = os.fstat(target).st_mode
        sink = null if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else target
        actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, sink, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        try:
            os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions, setpgroup=0, setsigmask=self._mask)
        except OSError as error:
            say(f"a background process of the command may lose its output: cat: {error}")

    def _forward(self) -> None:
        while True:
            number, from_terminal = _next_signal(self._signals)
            with self._lock:
                if not self._ended:
                    if self._own_group:
                        _kill(os.killpg, self._pid, number)
                    elif not from_terminal:
                        _kill(os.kill, self._pid, number)
                    continue
            self.on_signal(number)


def _next_signal(signals: set[signal.Signals]) -> tuple[int, bool]:
    if sys.platform != "darwin":
        told = signal.sigwaitinfo(signals)
        return told.si_signo, told.si_code > 0  # SI_KERNEL: typed at the terminal, or its hang-up
    return signal.sigwait(signals), True


def _kill(send: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # it has just ended, or runs as somebody else (sudo) whom we may not signal


def _plan(piped: bool, to_stderr: bool) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """File actions of the child, and its pipes as (read end, write end, our descriptor).

    One pipe carries both streams where ours are one and the same (`2>&1`): two would lose their order.
    """
    if not piped:
        return ([(os.POSIX_SPAWN_DUP2, 2, 1)] if to_stderr else []), []
    groups = [(2, (1, 2))] if to_stderr else [(1, (1, 2))] if os.path.sameopenfile(1, 2) else [(1, (1,)), (2, (2,))]
    actions, pipes = [], []
    for target, streams in groups:
        read_end, write_end = os.pipe()
        pipes.append((read_end, write_end, target))
        actions += [(os.POSIX_SPAWN_DUP2, write_end, stream) for stream in streams]
    return actions, pipes


def _occupy_closed_descriptors() -> None:
    """Fills closed standard descriptors, or a pipe of ours would become one of them. The child gets a closed stdin closed again."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _in_foreground() -> bool:
    """Whether we are the foreground of our terminal: a child in another group could not read from it."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _bytes_waiting(fd: int) -> int:
    import fcntl  # only now: the command must not wait for it
    import termios

    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)


def _write_all(fd: int, chunk: bytes) -> bool:
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
