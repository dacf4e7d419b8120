"""A TLS end point in front of a test server, as a proxy or a managed service would be: the embedded server has no TLS of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType

import trustme

from tests.support.server import Server


class TlsFront:
    """Listens on loopback with a certificate of `authority` for `host`, and passes on to the server's socket what comes through."""

    def __init__(self, server: Server, authority: trustme.CA, host: str = "127.0.0.1") -> None:
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"rediss://127.0.0.1:{self.port}/0"
        self.let_in = 0  # connections that got through the handshake
        self._open: list[socket.socket] = []

    def __enter__(self) -> TlsFront:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        for one in self._open:
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:  # who does not trust us hangs up
            plain.close()
            return
        self.let_in += 1
        inside = socket.socket(socket.AF_UNIX)
        inside.connect(str(self._server.folder / "s.sock"))
        self._open += [client, inside]
        back = threading.Thread(target=_pump, args=(inside, client), daemon=True)
        back.start()
        _pump(client, inside)
        back.join()
        client.close()
        inside.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass
    _end(source)
    _end(sink)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
