"""The command of `wake exec` as a child: its streams passed through, signals passed on, its end told.

Imports little, because the command waits for these imports.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.cli.exec_streams import DRAIN_S, Relay, Tail, say

if TYPE_CHECKING:
    from dispatcher.cli.exec_session import Session

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Channel:
    """A pipe or a terminal that carries some of the command's streams to one of our descriptors."""

    read_end: int
    write_end: int
    target: int
    streams: tuple[int, ...]
    is_terminal: bool


class Child:
    """A command, started by the constructor, and what connects it to us. `failure` is set when it could not be started.

    It leads a process group of its own, so that what is forwarded reaches all of it. In the foreground of a terminal it stays in our
    group, as under a shell: the terminal itself then signals both of us, and only what did not come from the terminal is forwarded.
    Where our output is a terminal, the command gets a terminal too, not a pipe; if our input is one as well, a session in it (Session).
    With `keep_output_bytes` 0 it writes to our own descriptors and nothing passes through us. `to_stderr` sends all it writes there.
    """

    def __init__(self, argv: list[str], *, keep_output_bytes: int, to_stderr: bool = False) -> None:
        _occupy_closed_descriptors()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody is told how a child ended
        self.failure: OSError | None = None
        self.on_signal: Callable[[int], None] = lambda _number: None  # called with what arrives after the command's end
        self._lock = threading.Lock()
        self._ended = False
        channels = _channels(to_stderr) if keep_output_bytes else []
        session = bool(channels) and _is_interactive(channels[0])
        self._terminals = [channel for channel in channels if channel.is_terminal]
        self._own_group = session or not _in_foreground()
        # Blocked before the start, so that no signal is lost between it and the thread that waits for them. One that is ignored
        # (nohup, a shell's background job) stays ignored, by the command too.
        self._signals = {number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN}
        self._signals |= {signal.SIGWINCH} if self._terminals else set()
        self._signals |= {signal.SIGTSTP, signal.SIGCONT} if session else set()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._session: Session | None = None
        try:
            if session:
                self._session = _start_session(argv, channels, self._mask)
                self._pid = self._session.pid
            else:
                self._pid = self._spawn(argv, channels, to_stderr)
        except OSError as error:
            self.failure, self._ended = error, True
        for channel in channels:
            os.close(channel.write_end)
        self.tail = Tail(keep_output_bytes)
        ended, self._tell_end = os.pipe()
        tail = self.tail if keep_output_bytes else None
        self._relays = [Relay(channel.read_end, channel.target, tail, ended) for channel in channels]
        threading.Thread(target=self._forward, daemon=True).start()

    def _spawn(self, argv: list[str], channels: list[Channel], to_stderr: bool) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, channel.write_end, stream) for channel in channels for stream in channel.streams]
        actions += [(os.POSIX_SPAWN_DUP2, 2, 1)] if to_stderr and not channels else []
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
        if self._session is not None:
            code = self._session.wait()
            self._mark_ended()
            os.close(self._tell_end)
            self._relays[0].join(DRAIN_S + 1.0)
            self._session.give_back()
            self.failure = self._session.failure
            return code if self.failure is None else 127 if isinstance(self.failure, FileNotFoundError) else 126
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
        if self._session is not None:  # its leader stays as long as the cat does
            actions.append((os.POSIX_SPAWN_DUP2, self._session.hold, 3))
        try:
            os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions, setpgroup=0, setsigmask=self._mask)
        except OSError as error:
            say(f"a background process of the command may lose its output: cat: {error}")

    def _forward(self) -> None:
        while True:
            number, from_terminal, from_us = _next_signal(self._signals)
            if number == signal.SIGWINCH:
                self._resize()
                continue
            if number == signal.SIGCONT and self._session is not None:
                self._session.resume()
                continue
            with self._lock:
                if not self._ended:
                    if from_us:
                        continue  # our whole group was stopped, with us in it
                    if self._own_group:
                        _kill(os.killpg, self._pid, number)
                    elif not from_terminal:
                        _kill(os.kill, self._pid, number)
                    continue
            self.on_signal(number)

    def _resize(self) -> None:
        """To all terminals of ours; in one without a session the kernel tells nobody, and our group comes to know it too early."""
        from dispatcher.cli.exec_terminal import copy_size

        changed = [copy_size(channel.target, channel.read_end) for channel in self._terminals]
        if any(changed) and self._session is None:
            with self._lock:
                if not self._ended:
                    _kill(os.killpg, self._pid if self._own_group else os.getpgrp(), signal.SIGWINCH)


def _next_signal(signals: set[signal.Signals]) -> tuple[int, bool, bool]:
    """Its number, whether it came from the terminal, and whether from this process."""
    if sys.platform != "darwin":
        told = signal.sigwaitinfo(signals)
        # SI_KERNEL: typed at the terminal, or its hang-up
        return told.si_signo, told.si_code > 0, told.si_code <= 0 and told.si_pid == os.getpid()
    return signal.sigwait(signals), True, False


def _kill(send: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # it has just ended, or runs as somebody else (sudo) whom we may not signal


def _channels(to_stderr: bool) -> list[Channel]:
    """One carries both streams where ours are one and the same (`2>&1`): two would lose their order."""
    both: list[tuple[int, tuple[int, ...]]] = [(1, (1, 2))]
    groups = [(2, (1, 2))] if to_stderr else both if os.path.sameopenfile(1, 2) else [(1, (1,)), (2, (2,))]
    return [_terminal_channel(target, streams) or Channel(*os.pipe(), target, streams, False) for target, streams in groups]


def _terminal_channel(target: int, streams: tuple[int, ...]) -> Channel | None:
    if not os.isatty(target):
        return None
    from dispatcher.cli.exec_terminal import open_like

    try:
        return Channel(*open_like(target), target, streams, True)
    except OSError:  # none left: a pipe will do
        return None


def _is_interactive(channel: Channel) -> bool:
    """Whether the command is to be in a session of its own: it may read from our terminal, and writes to it.

    When its first output goes elsewhere, a reader of that (`wake exec ... | less`) wants the keys for itself.
    """
    try:
        return channel.is_terminal and os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _start_session(argv: list[str], channels: list[Channel], mask: set[int | signal.Signals]) -> Session:
    from dispatcher.cli.exec_session import Session

    outputs = {stream: channel.write_end for channel in channels for stream in channel.streams}
    return Session(argv, channels[0].read_end, channels[0].write_end, outputs, mask)


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
