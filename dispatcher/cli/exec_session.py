"""A command in a terminal of its own, in the place of ours: keys go there, Ctrl-C and Ctrl-Z happen there, as in the terminal itself.

    our terminal (raw) <-> this process <-> terminal <-> command, in its foreground
                                               |
                                             leader of the session, parent of the command; tells us when that stops or ends

The leader makes Ctrl-Z work: without a parent in the same session a stopped command could not be told from an abandoned one, and the
kernel would not stop it. When the command ends, the leader stays for as long as background processes of the command are connected
to us: the kernel would take the terminal from them with it.
Should this process be killed, the terminal hangs up, and the command gets SIGHUP, as when a terminal window is closed.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import threading

from dispatcher.cli.exec_streams import write_all
from dispatcher.cli.exec_terminal import RawTerminal, become_controlling, copy_size

# Sent to us as one byte and a number: the command's pid; it stopped; it could not start (errno); it ended (as os.waitstatus_to_exitcode).
_PID, _STOPPED, _FAILED, _ENDED = b"PSFE"
_MESSAGE = struct.Struct("=Bi")
KEYS_BYTES = 1024


class Session:
    """Started by the constructor, which raises OSError. SIGTSTP must be blocked: another thread takes it, and SIGCONT and SIGWINCH.

    `outputs` says which descriptor becomes which standard stream of the command; `mask` is its signal mask.
    """

    def __init__(self, argv: list[str], ours: int, theirs: int, outputs: dict[int, int], mask: set[int | signal.Signals]) -> None:
        self.failure: OSError | None = None
        self._ours = ours
        self._lock = threading.Lock()
        self._over = False
        self._attached = False
        self._terminal = RawTerminal(0)
        self._terminal.lend_modes(theirs)
        # Reading from a terminal in the background must be an error, not a stop, and giving its modes back must not stop us either.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGTTOU})
        self._news, tell = os.pipe()
        until, self.hold = os.pipe()  # the leader ends when every copy of `hold` is closed
        if os.fork() == 0:
            _lead(argv, theirs, outputs, mask, tell, until)
        os.close(tell)
        os.close(until)
        kind, number = self._next()
        if kind != _PID:
            raise OSError(0, "no terminal could be made for it")
        self.pid = number
        self._woken, self._wake = os.pipe()
        self.attach()
        threading.Thread(target=self._pass_keys, daemon=True).start()

    def wait(self) -> int:
        """Waits for the command's end, and stops with it: its exit code, or minus the number of the signal that ended it."""
        while True:
            kind, number = self._next()
            if kind == _STOPPED:
                self._stop()
            elif kind == _FAILED:
                self.failure = OSError(number, os.strerror(number))
            else:
                with self._lock:
                    self._over, self._attached = True, False
                return number

    def give_back(self) -> None:
        """Our terminal as it was; after the last words of the command, which its own has made fit for a raw one."""
        self._detach()

    def attach(self) -> None:
        """Takes the keys, if we are in the foreground."""
        with self._lock:
            if self._over:
                return
            self._attached = self._terminal.enter()
        copy_size(0, self._ours)  # it may have been resized while we were away
        os.write(self._wake, b".")

    def _detach(self) -> None:
        with self._lock:
            self._attached = False
            self._terminal.restore()
        os.write(self._wake, b".")

    def _stop(self) -> None:
        """Stops our group as Ctrl-Z would have; goes on when somebody continues us, or at once when nobody could."""
        self._detach()
        ours = threading.get_ident()
        signal.pthread_kill(ours, signal.SIGTSTP)
        os.killpg(0, signal.SIGTSTP)  # the rest of our job; who waits for signals must not pass on what we sent ourselves
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})  # here we stop
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
        self.resume()

    def resume(self) -> None:
        self.attach()
        try:
            os.killpg(self.pid, signal.SIGCONT)
        except (ProcessLookupError, PermissionError):
            return

    def _pass_keys(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while True:
            if self._attached:
                poll.register(0, select.POLLIN)
            ready = [fd for fd, _ in poll.poll()]
            if self._woken in ready:
                os.read(self._woken, KEYS_BYTES)
            elif 0 in ready and self._attached and not self._pass_some():
                self._attached = False
            if not self._attached and 0 in ready:
                poll.unregister(0)

    def _pass_some(self) -> bool:
        """False when the terminal hung up, or when we are in its background."""
        try:
            keys = os.read(0, KEYS_BYTES)
        except OSError:
            return False
        return bool(keys) and write_all(self._ours, keys)

    def _next(self) -> tuple[int, int]:
        """The next message of the leader; the end of one that was killed is told as the command's."""
        told = os.read(self._news, _MESSAGE.size)
        return _MESSAGE.unpack(told) if len(told) == _MESSAGE.size else (_ENDED, -signal.SIGKILL)


def _lead(argv: list[str], terminal: int, outputs: dict[int, int], mask: set[int | signal.Signals], tell: int, until: int) -> None:
    """The leader, in the forked process; never returns."""
    try:
        os.setsid()
        become_controlling(terminal)
        command = os.fork()
        if command == 0:
            _become(argv, terminal, outputs, mask, tell)
        _close_all_but(tell, until)
        # For the command, we are its parent: what is sent there ($PPID) reaches it as if there were nobody in between.
        passed = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2} - mask
        for number in passed:
            signal.signal(number, lambda number, _: os.killpg(command, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed)
        _watch(command, tell)
        signal.pthread_sigmask(signal.SIG_BLOCK, passed)
        os.read(until, 1)
    finally:
        os._exit(0)


def _watch(command: int, tell: int) -> None:
    """Returns when the command has ended. It is not reaped, so that nobody else can get its number while we may still signal it."""
    while hasattr(os, "waitid"):
        told = os.waitid(os.P_PID, command, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        if told is None or told.si_code != os.CLD_STOPPED:
            code = told.si_status if told and told.si_code == os.CLD_EXITED else -(told.si_status if told else signal.SIGKILL)
            os.write(tell, _MESSAGE.pack(_ENDED, code))
            return
        if os.waitid(os.P_PID, command, os.WSTOPPED | os.WNOHANG):
            os.write(tell, _MESSAGE.pack(_STOPPED, 0))
    while True:
        _, status = os.waitpid(command, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            os.write(tell, _MESSAGE.pack(_ENDED, os.waitstatus_to_exitcode(status)))
            return
        os.write(tell, _MESSAGE.pack(_STOPPED, 0))


def _become(argv: list[str], terminal: int, outputs: dict[int, int], mask: set[int | signal.Signals], tell: int) -> None:
    """The command, in a process group of its own in the foreground of its terminal; never returns."""
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
        os.write(tell, _MESSAGE.pack(_PID, os.getpid()))
        for stream, fd in {0: terminal, **outputs}.items():
            os.dup2(fd, stream)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these two, a command must not
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(tell, _MESSAGE.pack(_FAILED, error.errno or 0))
    finally:
        os._exit(127)


def _close_all_but(*kept: int) -> None:
    """Whatever we hold, the reader of its other end would wait for."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
