"""A real server for tests, which can be killed, stopped, frozen and started again on the same data."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from secrets import token_urlsafe
from shutil import rmtree
from types import TracebackType

import redis

from dispatcher.embedded import server_binary
from tests.support.gates import wait_until
from tests.support.hosts import Host, in_host

AT_PORT = 6379


class Server:
    """A valkey-server in a short folder of its own, with AOF; on a Unix socket, or with `tcp=True` on a loopback port that it keeps.

    `appendfsync always` by default, so that a test that kills it knows what it held. With `at` it runs on that host, behind a password.
    """

    def __init__(self, *, tcp: bool = False, appendfsync: str = "always", at: Host | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wk-"))
        self.port = free_port() if tcp else 0
        self.url = f"redis://127.0.0.1:{self.port}/0" if tcp else f"unix://{self.folder}/s.sock?db=0"
        self._at, self._access = at, {"bind": "127.0.0.1"}
        if at is not None:
            self.port, password = AT_PORT, token_urlsafe()
            self._access = {"bind": at.address, "requirepass": password}
            self.url = f"redis://:{password}@{at.address}:{self.port}/0"
        self.env: dict[str, str] = {}  # what its next start finds in its environment, beside ours
        self.words: list[str] = []  # what its next start is told, beside ours
        self._appendfsync = appendfsync
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was never started"
        return self._process.pid

    def start(self) -> None:
        """Starts it unless it runs, and returns when it answers and has read its data."""
        if self.alive:
            return
        options = {
            "port": str(self.port),
            "unixsocket": str(self.folder / "s.sock"),
            "dir": str(self.folder),
            "logfile": str(self.folder / "log"),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": "",
        } | self._access
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(
            in_host(self._at, [str(server_binary()), *words, *self.words]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=os.environ | self.env,
        )
        wait_until(self._answers, 60, f"the test server in {self.folder} answers")

    def kill(self) -> None:
        """SIGKILL; the data that was synced stays."""
        self._signal_and_reap(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM and wait: everything is on disk afterwards."""
        self._signal_and_reap(signal.SIGTERM)

    def restart(self, *, graceful: bool = True) -> None:
        """Down and up again on the same data and the same address."""
        if graceful:
            self.stop()
        else:
            self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kills it and removes its folder."""
        if self.alive:
            self.kill()
        rmtree(self.folder, ignore_errors=True)

    def client(self) -> redis.Redis:
        """A plain client of the test itself: texts, no retries."""
        return redis.Redis.from_url(self.url, decode_responses=True, protocol=2)

    def _answers(self) -> bool:
        assert self.alive, f"the test server ended: {(self.folder / 'log').read_text()[-500:]}"
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()

    def _signal_and_reap(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(200)
            self._process = None


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
