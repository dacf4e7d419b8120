"""The worker's end of the reaper: process groups that must not outlive this process, or its right to run them.

One reaper process (`reaper_process.py`) per process that runs runners, started at the first command, in a session of its own. It holds one
end of a socket pair; the other end is here only: closed on exec, closed in forked children. So its end of file means that this process is
dead, by whatever cause. PDEATHSIG would not do: it fires when the spawning *thread* ends.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from dispatcher.core.errors import WakeError

PROGRAM = Path(__file__).with_name("reaper_process.py")
NO_BOUND = float("inf")


class ReaperUnavailable(WakeError):
    """No reaper process could be started; without one no command may run. Nothing is watched that was not watched before."""


class _Link:
    """One reaper process and the socket to it."""

    def __init__(self, watched: Mapping[int, float], answer_timeout_s: float) -> None:
        """Raises OSError when no reaper can be started, or does not answer in time; then there is none."""
        self._socket, theirs = socket.socketpair()  # neither is inheritable; `theirs` becomes the standard input of the child alone
        self._socket.settimeout(answer_timeout_s)
        try:
            with theirs:
                # Said before there is anyone to hear it: a worker that dies in this very moment is outlived by no group.
                for pgid, until in watched.items():
                    self._say("add", pgid, until)
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(PROGRAM)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError:
            self._socket.close()
            raise
        try:
            for _ in watched:
                self._hear()
        except OSError:
            self.replace()
            raise

    def tell(self, *words: object, answered: bool) -> None:
        """Raises OSError when the reaper is dead or does not answer in time; the link is useless then."""
        self._say(*words)
        if answered:
            self._hear()

    def _say(self, *words: object) -> None:
        self._socket.sendall((" ".join(map(str, words)) + "\n").encode())

    def _hear(self) -> None:
        if not self._socket.recv(1):
            raise ConnectionResetError("the reaper is gone")

    def replace(self) -> None:
        """Ends the process without letting it see the end of its input, which would make it kill what it watches."""
        self.process.kill()
        self.process.wait()
        self._socket.close()

    def close(self, within_s: float) -> None:
        """Lets the reaper kill what it still watches, and end."""
        self._socket.close()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def disown(self) -> None:
        """In a forked child: the process belongs to the parent. The socket must not stay open here, the reaper waits for its end."""
        self._socket.close()
        self.process.returncode = 0  # so that nobody waits for a process that is not ours


class Reaper:
    """Watches process groups. Thread-safe; a dead or frozen reaper process is replaced and told what is alive.

    A group's leader must stay unreaped until `forget` returned: only then can its number not name another group.
    """

    def __init__(self, answer_timeout_s: float = 10.0) -> None:
        self._answer_timeout_s = answer_timeout_s
        self._trusted_until: dict[int, float] = {}
        self._link: _Link | None = None
        self._lock = threading.Lock()
        _reapers.add(self)

    @property
    def pid(self) -> int | None:
        """The reaper process, None before the first `watch`."""
        return self._link.process.pid if self._link else None

    def watch(self, pgid: int, trust_ms: int | None) -> None:
        """Returns when the reaper has acknowledged the group; from then on the group does not outlive this process.

        It is also killed when `trust_ms` have passed without a renewal; None: no such bound. Raises ReaperUnavailable.
        """
        with self._lock:
            self._trusted_until[pgid] = _until(trust_ms)
            try:
                self._tell("add", pgid, self._trusted_until[pgid], answered=True)
            except OSError as error:
                del self._trusted_until[pgid]
                raise ReaperUnavailable(
                    f"watch group {pgid}: no reaper process answers ({error}); check the process and memory limits of this host"
                ) from error

    def renew(self, pgid: int, trust_ms: int) -> None:
        """The group is trusted for `trust_ms` from now. Never raises: without a renewal the old bound stands, which is the safe side."""
        with self._lock, _best_effort():
            if pgid in self._trusted_until:
                self._trusted_until[pgid] = _until(trust_ms)
                self._tell("renew", pgid, self._trusted_until[pgid], answered=False)

    def forget(self, pgid: int) -> None:
        """The group is never killed after this returned. Never raises."""
        with self._lock, _best_effort():
            if self._trusted_until.pop(pgid, None) is not None:
                self._tell("forget", pgid, answered=True)  # on failure this reaper is killed, and its successor knows no such group

    def check(self) -> None:
        """Replaces a reaper process that died. Called now and then while a command runs. Never raises."""
        with self._lock, _best_effort():
            if self._trusted_until and (self._link is None or self._link.process.poll() is not None):
                self._drop()
                self._start()

    def close(self) -> None:
        """Kills every group still watched and ends the reaper process. The next `watch` starts a new one."""
        with self._lock:
            self._trusted_until.clear()
            if self._link:
                self._link.close(self._answer_timeout_s)
                self._link = None

    def _tell(self, *words: object, answered: bool) -> None:
        """Under the lock. One try with the reaper at hand, one with a new one. Raises OSError."""
        if self._link:
            try:
                self._link.tell(*words, answered=answered)
                return
            except OSError:
                self._drop()
        self._start()  # tells the successor all that is alive, so nothing is left to say

    def _start(self) -> None:
        self._link = _Link(self._trusted_until, self._answer_timeout_s)

    def _drop(self) -> None:
        if self._link:
            self._link.replace()
            self._link = None

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._trusted_until = {}
        if self._link:
            self._link.disown()
            self._link = None


def _until(trust_ms: int | None) -> float:
    return NO_BOUND if trust_ms is None else time.monotonic() + trust_ms / 1000


@contextmanager
def _best_effort() -> Iterator[None]:
    """For words that need no answer now: what could not be said is said to the successor, at the next `check` at the latest."""
    try:
        yield
    except OSError:
        return


_reapers: weakref.WeakSet[Reaper] = weakref.WeakSet()


def _disown_reapers() -> None:
    for reaper in tuple(_reapers):
        reaper._after_fork_in_child()


os.register_at_fork(after_in_child=_disown_reapers)


@cache
def shared_reaper() -> Reaper:
    """The one reaper of this process. Its process is started at the first command."""
    reaper = Reaper()
    atexit.register(reaper.close)
    return reaper
