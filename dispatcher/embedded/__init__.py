"""The embedded server: a real valkey-server (or redis-server) that `wake up` owns, private to one data folder.

Files in the data folder: `appendonlydir/` (the data), `server.log`, `server.json` (where the running server listens),
`run/server.sock` (the socket, in a 0700 folder), `up.lock` (held by the process that called `start`) and `server.lock` (held by the
server itself as an inherited descriptor: a server that outlived its starter is noticed, and two servers never write one file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dispatcher.core.errors import EmbeddedServerError, StoreUnavailable
from dispatcher.embedded.binary import server_binary
from dispatcher.embedded.places import planned_socket
from dispatcher.embedded.probe import locate, recorded_socket, socket_url
from dispatcher.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer", "EmbeddedServerError", "expected_url", "locate", "server_binary", "server_url"]


class Whereabouts(Protocol):
    """What a configuration says about its server; `Config` does."""

    @property
    def data_dir(self) -> Path: ...
    def redis_url(self) -> str | None: ...


def expected_url(config: Whereabouts) -> str:
    """As `server_url`, whether or not a server runs there yet: a Celery application is configured once, and connects later."""
    data_dir = config.data_dir.absolute()
    return config.redis_url() or socket_url(recorded_socket(data_dir) or planned_socket(data_dir))


def server_url(config: Whereabouts) -> str:
    """The server of a configuration: its url, else the embedded one that runs on its data folder. Raises StoreUnavailable."""
    url = config.redis_url() or locate(config.data_dir)
    if url is None:
        raise StoreUnavailable(
            f"find server: no [redis] url is set and no embedded server runs on {config.data_dir}; "
            "start one with `wake up`, or name one in [redis] url or WAKE_REDIS_URL"
        )
    return url
