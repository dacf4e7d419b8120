"""One command in a process group of its own, which starts only when the reaper knows the group."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType

from workers.reaper import Reaper

# The gate: the shell waits on its standard input for one line, then becomes the command. Should the worker die between spawn and
# registration, the line never comes and nothing starts. `read` takes byte by byte from a pipe, so what follows the line is the command's.
SHELL = "/bin/sh"
GATE = 'read -r WAKE_GATE && exec "$@"'
OPEN_GATE = b"go\n"

UNKNOWN_STATUS = 255  # somebody else reaped our child: not 0, so never mistaken for success
SHELL_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
Environment = Mapping[bytes, bytes]


def why_not_startable(command: Sequence[str], cwd: str | None, env: Environment) -> str | None:
    """Says what is wrong with a command before a shell can say it less clearly. None: nothing obvious."""
    if not command:
        return "the command is empty"
    if cwd is not None and not os.path.isdir(cwd):
        return f"working directory {cwd!r} does not exist"
    program = command[0]
    if "/" not in program:
        path = os.fsdecode(env.get(b"PATH", os.defpath.encode()))
        return None if shutil.which(program, path=path) else f"{program!r} is not on PATH"
    try:
        mode = os.stat(os.path.join(cwd or ".", program)).st_mode
    except OSError as error:
        return f"{program!r}: {error.strerror}"
    if not stat.S_ISREG(mode):
        return f"{program!r} is not a file"
    return None if os.access(os.path.join(cwd or ".", program), os.X_OK) else f"{program!r} is not executable (chmod +x)"


def _behind_gate(command: Sequence[str], env: Environment) -> list[bytes]:
    # Some shells drop variables whose names they could not write; those are handed over by env(1).
    dropped = [name + b"=" + value for name, value in env.items() if not SHELL_NAME.fullmatch(name)]
    words = [SHELL, "-c", GATE, "wake-gate", *(["env"] if dropped else [])]
    return [os.fsencode(word) for word in words] + dropped + [os.fsencode(word) for word in command]


class GatedCommand:
    """A spawned command behind its gate. Leaving the `with` block forgets it, whether or not it still runs: kill first.

    Raises OSError when it cannot be spawned and ReaperUnavailable when it may not run; nothing is left behind then.
    """

    def __init__(self, command: Sequence[str], *, cwd: str | None, env: Environment, reaper: Reaper, trust_ms: int | None) -> None:
        self._reaper = reaper
        self._status: int | None = None
        self.process = subprocess.Popen(
            _behind_gate(command, env),
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self.pgid = self.process.pid
        self.exit_fd = _exit_fd(self.pgid)
        try:
            reaper.watch(self.pgid, trust_ms)
        except BaseException:
            self.kill(signal.SIGKILL)
            self._release()
            raise

    def status(self) -> int | None:
        """As `Popen.returncode`, but the leader stays a zombie, so that its number keeps naming this group until we let go."""
        if self._status is None:
            self._status = _look(self.process)
        return self._status

    def kill(self, number: signal.Signals) -> None:
        """A signal to the whole group."""
        try:
            os.killpg(self.pgid, number)
        except (ProcessLookupError, PermissionError):  # gone; PermissionError: macOS says so of a zombie, or the command changed its user
            return

    def renew(self, trust_ms: int) -> None:
        """The lease keeper's word, passed to the reaper."""
        self._reaper.renew(self.pgid, trust_ms)

    def _release(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        if self.exit_fd is not None:
            os.close(self.exit_fd)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return  # it sits in the kernel and dies when that lets go; the interpreter reaps it later

    def __enter__(self) -> GatedCommand:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind:
            self.kill(signal.SIGKILL)
        self._reaper.forget(self.pgid)  # before the leader is reaped: afterwards the number may name a stranger
        self._release()


def _exit_fd(pid: int) -> int | None:
    """Becomes readable when the process ends. None where the kernel has no such thing: then `status` must be polled."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _look(process: subprocess.Popen[bytes]) -> int | None:
    if not hasattr(os, "waitid"):  # macOS: the leader is reaped here already
        return process.poll()
    try:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return UNKNOWN_STATUS
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
