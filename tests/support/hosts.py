"""Several hosts on one machine: network namespaces on a bridge, each with an address and a name of its own. Links are cut in silence.

They share the disk, the table of processes and the monotonic clock, so that a test can see what no host could: whether a command of
another one still lives. Needs root and `ip`; `why_not()` says what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType

PREFIX = "wk"
NAMESPACES = Path("/run/netns")
LINKS = Path("/sys/class/net")


class Host:
    """One of them. `runs` stands before the words of a command that is to run there."""

    def __init__(self, number: int, name: str, network: str, bridge: str) -> None:
        self.number, self.name = number, name
        self.address = f"{network}.{number}"
        self.mac = f"02:00:00:00:00:{number:02x}"
        self.namespace = f"{bridge}-{number}"
        self.port = f"{bridge}p{number}"  # its end of the cable, on the bridge
        self._bridge = bridge
        # Each of these becomes the next, so the process that was started is the command itself.
        named = ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")
        self.runs = ("ip", "netns", "exec", self.namespace, *named)

    def cut(self) -> None:
        """From now on every packet from and to it is lost, and nobody is told: its link stays up, nothing is refused."""
        ip("link", "set", self.port, "nomaster")

    def heal(self) -> None:
        ip("link", "set", self.port, "master", self._bridge)


class Hosts:
    """`with Hosts("server", "router-1") as hosts: hosts["server"]`. The test itself is on the bridge and reaches them all."""

    def __init__(self, *names: str) -> None:
        self._bridge = f"{PREFIX}{os.getpid()}"
        network = f"198.18.{os.getpid() % 256}"  # kept by RFC 2544 for trials like these: no route of this machine leads there
        self._own = f"{network}.254"
        self._hosts = {name: Host(number, name, network, self._bridge) for number, name in enumerate(names, 1)}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Hosts:
        remove_stale()
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()

    def _build(self) -> None:
        ip("link", "add", self._bridge, "type", "bridge")
        ip("addr", "add", f"{self._own}/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")
        for host in self._hosts.values():
            ip("netns", "add", host.namespace)
            ip("link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace, "address", host.mac)
            ip("link", "set", host.port, "master", self._bridge, "up")
            ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", host.namespace, "link", "set", link, "up")
        for host in self._hosts.values():
            self._introduce(host)

    def _introduce(self, host: Host) -> None:
        """Neighbours are known for good, as behind a router: else a cut would be told within 3 s, as "no route to host"."""
        ip("neigh", "replace", host.address, "lladdr", host.mac, "dev", self._bridge, "nud", "permanent")
        for other in self._hosts.values():
            if other is not host:
                known = (other.address, "lladdr", other.mac, "dev", "eth0", "nud", "permanent")
                ip("-n", host.namespace, "neigh", "replace", *known)

    def _remove(self) -> None:
        for host in self._hosts.values():
            _remove_link(host.port)  # at once, both ends; with its namespace alone it would go some time later
            _remove_namespace(host.namespace)
        _remove_link(self._bridge)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def remove_stale() -> None:
    """Removes what processes that are gone left behind: names carry the process id of their maker."""
    for path in NAMESPACES.glob(f"{PREFIX}*-*") if NAMESPACES.is_dir() else ():
        if _maker_is_gone(path.name.partition("-")[0]):
            _remove_namespace(path.name)
    for path in LINKS.glob(f"{PREFIX}*"):
        if _maker_is_gone(path.name.partition("p")[0]):
            _remove_link(path.name)


def _maker_is_gone(bridge: str) -> bool:
    maker = bridge.removeprefix(PREFIX)
    return maker.isdecimal() and not Path("/proc", maker).exists()


def _remove_namespace(name: str) -> None:
    """Its cable goes with it, as soon as no process runs there any more."""
    if (NAMESPACES / name).exists():
        ip("netns", "delete", name)


def _remove_link(name: str) -> None:
    # A cable goes with its other end, which may happen between a look and a word.
    subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)


@cache
def why_not() -> str:
    """What this machine lacks for hosts of its own; empty where they can be made."""
    if os.geteuid() != 0:
        return "not root"
    if absent := [tool for tool in ("ip", "unshare", "hostname") if not shutil.which(tool)]:
        return f"{', '.join(absent)} not installed (iproute2, util-linux, hostname)"
    try:
        with Hosts("one") as hosts:
            _says(hosts["one"], "hostname", "one")
    except AssertionError as error:
        return str(error)
    return ""


def _says(host: Host, command: str, wanted: str) -> None:
    done = subprocess.run([*host.runs, command], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == wanted, f"{command} in a host of its own: {done.stdout}{done.stderr}"


def in_host(host: Host | None, words: Sequence[str]) -> list[str]:
    """The command as it is started there; None is this machine."""
    return [*(host.runs if host else ()), *words]
