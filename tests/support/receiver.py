"""A receiver of heartbeats on a real socket, which answers as its test says and keeps what it got."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.gates import wait_until

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Got:
    """One request. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """A whole response."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Play = Callable[["Handler", Got], Reply | None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the play of its server; a play that returns None has answered by itself, or broke off."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        got = Got(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.got.append(got)
        reply = self.server.play(self, got)
        self.close_connection = True
        if reply is not None:
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    do_GET = do_POST  # noqa: N815  the name is the base class's

    def hang_until_closed(self) -> None:
        """Waits until the client has closed the connection."""
        self.connection.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):
            assert self.connection.recv(1) == b""
        self.server.closed.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002  the signature is the base class's
        return


class Receiver(ThreadingHTTPServer):
    """Listens on loopback as long as its `with` block."""

    daemon_threads = True

    def __init__(self, play: Play, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.play, self.got, self.closed = play, list[Got](), threading.Event()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}/wake"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def has_got(self, n: int = 1) -> Got:
        """The newest request, once there are `n`."""
        wait_until(lambda: len(self.got) >= n, PATIENCE_S, f"{n} requests")
        return self.got[-1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off, or that refuses our certificate, is what some tests are about."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(PATIENCE_S)


def answering(*replies: Reply) -> Play:
    """One reply after the other; the last one again and again."""
    left = list(replies)
    return lambda _handler, _got: left.pop(0) if len(left) > 1 else left[0]
