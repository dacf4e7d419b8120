"""The services of docker-compose.yml as local processes: the same commands, environments and probes.

Only host names, ports, paths and the places of programs differ. `valkey-server` is the embedded binary, `valkey-cli` a stand-in.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

from dispatcher.embedded import server_binary
from tests.support.compose import Service, service
from tests.support.gates import wait_until
from tests.support.sources import ROOT

WORKDIR = ROOT / "examples" / "compose"
PATIENCE_S = 90.0
ROLES = ("PRODUCER", "INGRESS", "ROUTER", "WORKER_AGENTS", "WORKER_OPS", "OPERATOR", "MONITOR", "FLOWER")
PASSWORDS = {f"WAKE_{role}_PASSWORD": f"aPasswordOfTheTest{number}" for number, role in enumerate(ROLES)}
LOGIN = "operator:anotherOfTheTest"


class Container:
    """One replica. What it says goes to a file."""

    def __init__(self, name: str, service: Service, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.service, self._env = service, env
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=WORKDIR, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def probe(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._env, cwd=WORKDIR, capture_output=True, text=True, timeout=200, check=False)

    def stop(self) -> int:
        """As the engine does: SIGTERM, and no more patience than stop_grace_period. Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(self.service.stop_grace_s)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Composed:
    """What `docker compose up` would run, one service after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.flower_port = _free_ports(2)
        self.variables = PASSWORDS | {"WAKE_FLOWER_LOGIN": LOGIN}
        self.containers: list[Container] = []
        (folder / "data").mkdir()
        self._programs = self._make_programs()

    def url(self, role: str) -> str:
        """As this user reaches the published port from the same machine."""
        return f"redis://wake-{role}:{PASSWORDS[f'WAKE_{role.upper()}_PASSWORD']}@127.0.0.1:{self.port}/0"

    def up(self, name: str, *, healthy: bool = True) -> list[Container]:
        """The replicas of a service, once their probes say that they are healthy."""
        started = [self.start(name) for _ in range(service(name, self.variables).replicas)]
        if healthy:
            for container in started:
                wait_until(partial(self.healthy, container), PATIENCE_S, f"{name} is healthy", every_s=0.2)
        return started

    def start(self, name: str) -> Container:
        """One more replica; not yet healthy."""
        found = service(name, self.variables)
        replica = f"{len(self.containers)}-{name}"
        env = {key: self._here(value, replica) for key, value in found.environment.items()}
        # The image has our packages installed; here they are taken from the repository.
        env |= {"PATH": f"{self._programs}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        words = [self._here(word, replica) for word in found.command]
        container = Container(
            replica, found, [str(self._programs / words[0]) if "/" not in words[0] else words[0], *words[1:]], env, self.folder
        )
        self.containers.append(container)
        return container

    def healthy(self, container: Container) -> bool:
        """What its probe says now."""
        assert container.process.poll() is None, f"{container.log.name} ended: {container.said()[-2000:]}"
        return self.probe(container).returncode == 0

    def probe(self, container: Container) -> subprocess.CompletedProcess[str]:
        """The very command of its health check, in its environment."""
        replica = container.log.stem
        return container.probe([self._here(word, replica) for word in container.service.probe])

    def close(self) -> None:
        for container in reversed(self.containers):
            container.close()
            print(f"--- {container.log.name} (status {container.process.returncode})", container.said()[-3000:], sep="\n")

    def _here(self, text: str, replica: str) -> str:
        places = {
            "valkey:6379": f"127.0.0.1:{self.port}",
            "0.0.0.0": "127.0.0.1",
            "6379": str(self.port),
            "5555": str(self.flower_port),
            "/srv/wake": str(WORKDIR),
            "/var/lib/wake": str(self.folder / replica),
            "/data": str(self.folder / "data"),
        }
        return re.sub(
            "|".join(map(re.escape, places)), lambda found: places[found.group()], text
        )  # in one pass: a place may contain another

    def _make_programs(self) -> Path:
        folder = self.folder / "bin"
        folder.mkdir()
        modules = {"wake": "-P -m dispatcher.cli", "celery": "-P -m celery", "python": "-P", "valkey-cli": "-P -m tests.support.valkey_cli"}
        for name, words in modules.items():
            (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (folder / name).chmod(0o755)
        (folder / "valkey-server").symlink_to(server_binary())
        (folder / "sh").symlink_to("/bin/sh")
        return folder


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
