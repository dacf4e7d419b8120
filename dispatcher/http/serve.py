"""The socket, the server and its bounds. Blocks until the process is told to end."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import stat
from contextlib import suppress
from pathlib import Path

import uvicorn

from dispatcher.config import Config
from dispatcher.core.errors import ConfigError
from dispatcher.http.app import make_app
from dispatcher.http.protocol import PatientProtocol

log = logging.getLogger("wake")
HEAD_BYTES = 32_768
LEAVE_S = 10
BACKLOG = 512


def serve(config: Config) -> None:
    """Serves `[http]` of this configuration. Raises ConfigError when address, port or socket cannot be used."""
    http = config.http
    listening, where = _listen(config)
    server: uvicorn.Server | None = None
    PatientProtocol.head_s, PatientProtocol.max_connections = http.header_timeout_s, http.max_connections
    app = make_app(config, leaving=lambda: server is not None and server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,  # an id in a path may be anything; what is refused is said by whoever refuses it
            server_header=False,
            proxy_headers=False,  # a header must not choose whose failures are counted
            timeout_keep_alive=http.keep_alive_s,
            timeout_graceful_shutdown=LEAVE_S,
            h11_max_incomplete_event_size=HEAD_BYTES,
            backlog=BACKLOG,
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # an invalid request is its sender's fault, and anybody's to repeat
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises it once more when it has drained; we have ended well
    guarded = "bearer tokens" if http.require_token or config.routing.require_token else "NO tokens"
    log.info("http: %s, %s", where, guarded)
    try:
        server.run(sockets=[listening])
    finally:
        app.state.ingress.close()
        listening.close()
        if listening.family == socket.AF_UNIX:
            with suppress(OSError):
                os.unlink(where.removeprefix("unix:"))


def _listen(config: Config) -> tuple[socket.socket, str]:
    http = config.http
    try:
        if http.uds is not None:
            path = config.base_dir / Path(http.uds).expanduser()
            return _unix_socket(path), f"unix:{path}"
        if not (is_loopback(http.host) or http.require_token or config.routing.require_token):
            raise ConfigError(
                [f"http.host: {http.host} is not loopback; without tokens anybody there could wake agents: set require_token"]
            )
        family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
        listening = socket.create_server((http.host, http.port), family=family, backlog=BACKLOG)
    except OSError as error:
        place = http.uds or f"{http.host}:{http.port}"
        raise ConfigError(
            [f"http: {place} cannot be used ({error.strerror or error}); choose another one in [http], or with --port"]
        ) from error
    if not is_loopback(http.host):
        log.warning("http: %s is not loopback: tokens and output travel as they are, put TLS before it", http.host)
    name = f"[{http.host}]" if ":" in http.host else http.host
    return listening, f"http://{name}:{listening.getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """Of an address; of names only localhost is trusted to be it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unix_socket(path: Path) -> socket.socket:
    """For its owner only. A socket that a dead process left is replaced; of a living one it raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(errno.EEXIST, "there is a file of this name")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.unlink()
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    finally:
        os.umask(before)
    made.listen(BACKLOG)
    return made
