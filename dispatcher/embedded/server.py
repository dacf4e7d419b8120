"""The life of the embedded server: start, crash, restart, stop."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import IO

from dispatcher.core.errors import EmbeddedServerError, StoreUnavailable
from dispatcher.embedded.binary import server_binary
from dispatcher.embedded.places import socket_path, take_lock
from dispatcher.embedded.probe import STATE_NAME, ask, locate, recorded_socket, write_state

LOG_NAME = "server.log"


class EmbeddedServer:
    """One server process on one data folder, with AOF (fsync every second), a Unix socket in a 0700 folder and no TCP port.

    `durable` False: nothing is written to disk, and a new start is empty.

    `start` and `stop` may be called in any order and repeatedly. After a crash of the server `start` begins a new one on the same data.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._up_lock: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the running server listens, in redis-py's form. Raises StoreUnavailable when it does not run."""
        url = locate(self.data_dir)
        if url is None:
            raise StoreUnavailable(f"embedded server: nothing listens for {self.data_dir}; start it with `wake up`")
        return url

    @property
    def pid(self) -> int | None:
        """The process id of the server that this object started, while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout_s: float = 15.0) -> str:
        """Starts the server unless this object already runs one; returns its URL once it answers.

        `timeout_s` bounds the time until it listens; reading a long append-only file afterwards is waited for without bound.
        Raises EmbeddedServerError when another `wake up` owns the folder, or the server ends at once (its last words are in the message).
        """
        if self.pid is not None:
            return self.url
        self.claim()
        try:
            self._spawn(timeout_s)
        except BaseException:
            self.stop()
            raise
        return self.url

    def claim(self, *, alone: bool = False, timeout_s: float = 15.0) -> None:
        """Owns the folder from now on, until `stop`. `alone`: no server that outlived its starter works on it either.

        Raises EmbeddedServerError when another `wake up` owns it, or a server stays.
        """
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._up_lock is None:
            self._up_lock = take_lock(self.data_dir / "up.lock")
        if alone:
            self._server_lock(timeout_s).close()

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM, which makes the server write and sync its append-only file; SIGKILL after `timeout_s`. Frees the folder."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            (self.data_dir / STATE_NAME).unlink(missing_ok=True)
        lock, self._up_lock = self._up_lock, None
        if lock is not None:
            lock.close()

    def _spawn(self, timeout_s: float) -> None:
        binary = server_binary()
        lock = self._server_lock(timeout_s)
        try:
            path = socket_path(self.data_dir)
            path.unlink(missing_ok=True)
            self._process = subprocess.Popen(
                [str(binary), *_arguments(self.data_dir, path, self._durable)],
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C in the terminal must not stop the server before the workers have drained
                umask=0o077,
            )
        finally:
            lock.close()  # the server's inherited copy keeps the lock
        write_state(self.data_dir, self._process.pid, path)
        _await_answer(self._process, path, self.data_dir, timeout_s)

    def _server_lock(self, timeout_s: float) -> IO[bytes]:
        """The lock that outlives us; an older server whose starter was killed still holds it and is asked to end first."""
        deadline = time.monotonic() + timeout_s
        asked = False
        while True:
            try:
                return take_lock(self.data_dir / "server.lock")
            except EmbeddedServerError:
                path = recorded_socket(self.data_dir)
                if not asked and path is not None:
                    asked = ask(path, b"SHUTDOWN\r\n") is not None
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"embedded server: an earlier server on {self.data_dir} still runs and does not end; "
                        f"stop it (its process id is in {self.data_dir / STATE_NAME}), then try again"
                    ) from None
                time.sleep(0.05)


def _arguments(data_dir: Path, socket_path: Path, durable: bool) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "logfile": str(data_dir / LOG_NAME),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _await_answer(process: subprocess.Popen[bytes], path: Path, data_dir: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ask(path, b"PING\r\n")
        if answer and not answer.startswith(b"-LOADING"):
            return
        if process.poll() is not None:
            raise EmbeddedServerError(
                f"embedded server: it ended at once with status {process.returncode} on {data_dir}; its log says:\n{_last_words(data_dir)}"
            )
        if not answer and time.monotonic() > deadline:
            raise EmbeddedServerError(f"embedded server: no answer on {path} within {timeout_s:g} s; see {data_dir / LOG_NAME}")
        time.sleep(0.02)


def _last_words(data_dir: Path) -> str:
    try:
        return "\n".join((data_dir / LOG_NAME).read_text("utf-8", "replace").splitlines()[-5:])
    except OSError:
        return "(no log was written)"
