"""A primary, its replicas and three sentinels, all real, on loopback. The primary can be killed, moved by hand, and come back."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import Any

import redis

from dispatcher.embedded import server_binary
from tests.support.gates import wait_until
from tests.support.server import Server, free_port

NAME = "wake"
DOWN_MS = 3_000  # with less, sentinels of a loaded machine find a primary down that is not
PATIENCE_S = 120.0


class Sentinel:
    """One sentinel, in a folder of its own. `password`: what it asks for."""

    def __init__(self, primary: Server, quorum: int, password: str = "") -> None:
        self.folder, self.port, self._password = Path(tempfile.mkdtemp(prefix="wk-")), free_port(), password
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"logfile {self.folder}/log",
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} {quorum}",
            f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
            f"sentinel failover-timeout {NAME} 5000",
        ]
        lines += [f"requirepass {password}"] if password else []
        conf = self.folder / "sentinel.conf"
        conf.write_text("\n".join(lines) + "\n")
        words = [str(server_binary()), str(conf), "--sentinel"]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def asked(self, *words: str) -> Any:
        """What it answers, None if it does not or is not able to."""
        return _answer(redis.Redis(port=self.port, password=self._password or None, decode_responses=True, protocol=2), "SENTINEL", *words)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        rmtree(self.folder, ignore_errors=True)


class Watched:
    """`url` leads to whoever is primary. `servers`: the first primary, then its replicas. One sentinel alone is up at once."""

    def __init__(self, replicas: int = 1, sentinels: int = 3, password: str = "") -> None:
        self.servers = [Server(tcp=True) for _ in range(replicas + 1)]
        self.sentinels: list[Sentinel] = []
        self._count, self._password = sentinels, password

    def __enter__(self) -> Watched:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"sentinel://{','.join(f'127.0.0.1:{sentinel.port}' for sentinel in self.sentinels)}/0?master={NAME}"

    @property
    def primary(self) -> Server:
        """Whom the sentinels name now."""
        port = wait_until(self._named, PATIENCE_S, "a sentinel names the primary")
        return next(server for server in self.servers if server.port == port)

    @property
    def alive(self) -> bool:
        return self.primary.alive

    def start(self) -> None:
        """Returns when the replicas follow and the sentinels know each other and all replicas. Once."""
        first, *others = self.servers
        for server in self.servers:
            server.start()
        for server in others:
            order(server, "REPLICAOF", "127.0.0.1", str(first.port))
        wait_until(lambda: self.followers(first) == len(others), PATIENCE_S, "the replicas follow")
        self.sentinels = [Sentinel(first, self._count // 2 + 1, self._password) for _ in range(self._count)]
        wait_until(lambda: all(map(self._knows_all, self.sentinels)), PATIENCE_S, "the sentinels know each other and the replicas")

    def followers(self, primary: Server) -> int:
        """Replicas that are in step with this server."""
        said = order(primary, "INFO", "replication") or {}
        return sum(1 for name, of in said.items() if name.startswith("slave") and isinstance(of, dict) and of.get("state") == "online")

    def kill(self) -> Server:
        """SIGKILL to the primary; returns it, when the sentinels named another one."""
        killed = self.primary
        killed.kill()
        wait_until(lambda: self._named() not in (None, killed.port), PATIENCE_S, "another primary is named")
        return killed

    def move(self, *how: str) -> None:
        """By hand, with nobody dead; returns when the sentinels name another one."""
        before = self.primary
        wait_until(lambda: self.sentinels[0].asked("FAILOVER", NAME, *how) is not None, PATIENCE_S, "the failover begins")
        wait_until(lambda: self._named() not in (None, before.port), PATIENCE_S, "another primary is named")

    def point_at(self, server: Server) -> None:
        """The sentinels name this one from now on, whatever it is."""
        for sentinel in self.sentinels:
            assert sentinel.asked("REMOVE", NAME)
            assert sentinel.asked("MONITOR", NAME, "127.0.0.1", str(server.port), "1")

    def follows(self, server: Server) -> bool:
        """Whether this one is a replica and in step with its primary."""
        said = order(server, "INFO", "replication") or {}
        return bool(said.get("role") == "slave" and said.get("master_link_status") == "up")

    def close(self) -> None:
        for sentinel in self.sentinels:
            sentinel.close()
        for server in self.servers:
            server.close()

    def _named(self) -> int | None:
        for sentinel in self.sentinels:
            if answer := sentinel.asked("GET-MASTER-ADDR-BY-NAME", NAME):
                return int(answer[1])
        return None

    def _knows_all(self, sentinel: Sentinel) -> bool:
        words = sentinel.asked("MASTER", NAME) or []
        said: dict[str, str] = dict(zip(words[::2], words[1::2], strict=True))
        return (int(said.get("num-slaves", 0)), int(said.get("num-other-sentinels", 0))) == (len(self.servers) - 1, self._count - 1)


def order(server: Server, *words: str) -> Any:
    """What the server answers, None if it does not, or refuses."""
    return _answer(server.client(), *words)


def _answer(client: Any, *words: str) -> Any:  # redis-py's execute_command has no types
    with suppress(redis.RedisError), client:
        return client.execute_command(*words)
    return None
