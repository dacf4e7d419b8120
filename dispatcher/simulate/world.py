"""A private server and a store on it: a folder and a prefix of its own, and one slot, so that one sweep tells who is due."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from dispatcher.config import Config
from dispatcher.embedded import EmbeddedServer
from dispatcher.store.direct import DirectCaller
from dispatcher.store.keys import Keys
from dispatcher.store.opened import Store, open_store

PREFIX = "simulated"
LONGEST_LEASE_MS = 3_600_000


@contextmanager
def private_server() -> Iterator[str]:
    """The URL of an empty server that writes nothing to disk and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="wake-sim-"))
    server = EmbeddedServer(folder / "server", durable=False)
    try:
        url = server.start()
        with _ends_with_us(server):
            yield url
    finally:
        server.stop()
        rmtree(folder, ignore_errors=True)


@contextmanager
def _ends_with_us(server: EmbeddedServer) -> Iterator[None]:
    """Whoever kills us kills the server, too: a shell waits for its input to end, as it does with us. It goes before the server does, whose
    number may then be another's."""
    with subprocess.Popen(
        ["sh", "-c", 'read -r _; kill -9 "$0"', str(server.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends our process group does not end it
    ) as watcher:
        try:
            yield
        finally:
            watcher.kill()


@contextmanager
def private_store(config: Config, url: str, pools: Sequence[str]) -> Iterator[tuple[Store, DirectCaller]]:
    """An empty store for `config` at `url`, and its caller, which knows when somebody of these pools is looked at next."""
    made: list[DirectCaller] = []

    def caller_of(client: Any, keys: Keys) -> DirectCaller:
        made.append(DirectCaller(client, [keys.pool(slot, pool)["look"] for pool in pools for slot in range(keys.slots)]))
        return made[0]

    store = open_store(config, url, caller_of=caller_of)
    store.client.config_set("latency-tracking", "no")  # nobody asks for it, and every command pays
    store.client.flushall()
    store.inbox.prepare()
    try:
        yield store, made[0]
    finally:
        store.close()


def simulated(config: Config, *, everybody: bool = False, unharmed: bool = False) -> Config:
    """The configuration as a simulation uses it: the same policy on one slot of a private store. `everybody`: it knows each agent.

    `unharmed`: no worker is lost, so no lease ever runs out; it is as long as may be, and need not be renewed all the time.
    """
    tables = config.model_dump(exclude_unset=True)
    tables["redis"] = {"prefix": PREFIX, "slots": 1, "socket_timeout_ms": 60_000}
    tables["sweep"] = tables.get("sweep", {}) | {"young_server_ms": 0}  # it is as old as the scenario wants it
    if unharmed:
        tables["lease"] = tables.get("lease", {}) | {"ttl_ms": LONGEST_LEASE_MS}
    routing = {"require_token": False} | ({"unknown_agents": "accept"} if everybody else {})
    tables["routing"] = tables.get("routing", {}) | routing
    return Config.model_validate(tables).place(config.source, config.base_dir)
