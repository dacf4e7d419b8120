"""What Docker would give pytest-celery, made of local processes: the part of a container's interface that its classes use."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from shutil import rmtree
from typing import Any

import docker
import redis
from docker.errors import DockerException
from pytest_celery import CeleryWorkerContainer, RedisContainer

from dispatcher.embedded import server_binary
from tests.support.gates import wait_until
from tests.support.gateway import Worker

LOOPBACK = "127.0.0.1"
SERVER_PORT = 6379
PATIENCE_S = 90.0


@cache
def docker_answers() -> bool:
    """Whether a Docker daemon is there (its client asks when it is made); then the stock server container is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it forgets the socket that found nobody
        try:
            client = docker.from_env(timeout=5)
        except DockerException:
            return False
        finally:
            gc.collect()
    client.close()
    return True


class LocalContainer:
    """A process that is started by `start`, and again by `restart`. Ports are published as {inside: outside}."""

    def __init__(self, name: str, start: Callable[[], Worker], *, hostname: str = LOOPBACK, ports: dict[int, int] | None = None) -> None:
        self._start, self._ports = start, ports or {}
        self.name = name
        self.process = start()
        self.id = f"{self.process.pid:012d}"
        published = {f"{inside}/tcp": [{"HostIp": LOOPBACK, "HostPort": str(outside)}] for inside, outside in self._ports.items()}
        self.attrs: dict[str, Any] = {
            "NetworkSettings": {"Networks": {"local": {"IPAddress": LOOPBACK}}, "Ports": published},
            "HostConfig": {"PortBindings": published},
            "Config": {"Hostname": hostname, "Env": [], "Labels": {}},
            "State": {},
        }
        self.reload()

    def reload(self) -> None:
        """Sees anew whether the process lives, as Docker's clients must."""
        self.status = "running" if self.process.alive else "exited"
        self.attrs["State"] = {"Status": self.status, "ExitCode": self.process.process.returncode}

    def logs(self) -> bytes:
        """What the present process said. Not what those before a restart said: their "ready" would be taken for its own."""
        return self.process.said().encode()

    def kill(self, number: str | int | None = None) -> None:
        """Sends a signal, SIGKILL if none is named; waits for the end only after SIGKILL."""
        wanted = signal.Signals[number] if isinstance(number, str) else signal.Signals(number or signal.SIGKILL)
        if wanted == signal.SIGKILL:
            self.process.kill()
        else:
            self.process.signal(wanted)

    def restart(self, timeout: float = 10) -> None:
        """SIGTERM if it lives, SIGKILL when it takes longer than `timeout` seconds, and a new process."""
        if self.process.alive:
            self.process.signal(signal.SIGTERM)
            try:
                self.process.ends(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process = self._start()

    def exec_run(self, cmd: str) -> tuple[int, bytes]:
        """Runs a command beside the process. It sees the ports as they are inside."""
        done = subprocess.run(shlex.split(cmd), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        output = done.stdout
        for inside, outside in self._ports.items():
            output = output.replace(f":{outside:04X} ".encode(), f":{inside:04X} ".encode())
        return done.returncode, output

    def remove(self, *_: object, **__: object) -> None:
        self.process.close()


class LocalRedis(RedisContainer):
    """pytest-celery's class, on a local server. Its own `get_addr` would ask whether the tests run inside a container themselves."""

    def get_addr(self, port: str) -> tuple[str, int]:
        return LOOPBACK, self.ports[port][0]


class ServerProcess(Worker):
    """The command of the stock container, on a port and in a folder of its own."""

    def __init__(self, command: list[str], port: int, folder: Path) -> None:
        self.log = folder / "log"
        self.log.write_bytes(b"")
        place = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(folder)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(server_binary()), *command[1:], *place],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid


class ServerContainer(LocalContainer):
    """A container of a server, whose data outlives a restart."""

    def __init__(self, command: list[str], port: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wk-"))
        super().__init__(
            "server", lambda: ServerProcess(command, port, self._folder), hostname=f"{LOOPBACK}:{port}", ports={SERVER_PORT: port}
        )
        url = f"redis://{LOOPBACK}:{port}/0"
        wait_until(lambda: self.process.alive and _answers(url), PATIENCE_S, f"the server on port {port} answers")

    def remove(self, *_: object, **__: object) -> None:
        super().remove()
        rmtree(self._folder, ignore_errors=True)


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url, protocol=2) as client, suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


class WakeWorker(CeleryWorkerContainer):
    """One process of ours, started as production starts it: `python -P -m workers worker …`."""

    @classmethod
    def command(cls, *args: str, debugpy: bool = False, wait_for_client: bool = True, **kwargs: Any) -> list[str]:  # noqa: ARG003  # its signature
        return ["worker", *args]


class Stranger(CeleryWorkerContainer):
    """The stock worker of another Celery program, which by mistake consumes our queues."""

    @classmethod
    def worker_queue(cls) -> str:
        return "wake.inbox,wake.agents.00"


class StrangerProcess(Worker):
    """The command and the files that the stock image would have."""

    def __init__(self, command: list[str], content: dict[str, bytes], env: dict[str, str], folder: Path) -> None:
        for name, text in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
        self.log = folder / "stranger.log"
        self.log.write_bytes(b"")
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env=os.environ | env | {"PYTHONPATH": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid
