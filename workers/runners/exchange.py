"""One HTTP exchange of a heartbeat: a POST, and the answer to it, broken off the moment the heartbeat must end.

urllib3's connection is used without its pool: a heartbeat is one request in minutes, and nothing above the connection may repeat a request,
follow a redirect or read proxy variables. It is chosen over clients with more comfort because its socket can be shut down from the thread
that cancels, and because Celery's own tools already bring it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from workers.runners.protocol import ERROR_CHARS, Control, Why

CONNECT_S = 10.0  # for the name, each address and the handshake; until then nothing of the request has left
ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What the receiver said. `headers` have lower-case names; of `body` the first 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one if it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Unanswered:
    """No whole answer came. `sent` is False when the receiver cannot have seen the request; otherwise what it did is unknown.

    `nobody` says that the host answered, and that no program listens there.
    """

    problem: str
    sent: bool
    nobody: bool = False


def post(url: str, body: bytes, headers: Mapping[str, str], control: Control, *, ca_file: str | None = None) -> Answer | Unanswered | Why:
    """Sends `body` to `url` (http or https) and waits for the answer as long as `control` allows; a reason to end is the answer then.

    The connection is closed when this returns. Certificates are verified, against `ca_file` if there is one.
    """
    line = _Line()
    with closing(_connection(url, control, ca_file)) as connection, control.ending(line.hang_up):
        found = _exchange(connection, line, url, body, headers, control)
    # A line that was hung up looks like a connection that the receiver broke, or like the end of an answer without a length.
    broken = line.hung_up or isinstance(found, Unanswered)
    return (control.why() or found) if broken else found


class _Line:
    """The socket of one exchange, in the hands of two threads: one waits at it, another may shut it down."""

    def __init__(self) -> None:
        self.hung_up = False
        self._socket: socket.socket | None = None

    def take(self, connected: socket.socket) -> None:
        """Afterwards the caller asks `hung_up`: a `hang_up` that came before found nothing to shut down."""
        self._socket = connected

    def hang_up(self) -> None:
        self.hung_up = True
        if self._socket is not None:
            try:
                # The plain socket's method: that of a TLS socket would take the session away from the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already


def _connection(url: str, control: Control, ca_file: str | None) -> HTTPConnection:
    parts = urlsplit(url)
    host, timeout_s = parts.hostname or "", max(0.001, min(CONNECT_S, control.remaining_s()))
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port or 443, timeout=timeout_s, ca_certs=ca_file, cert_reqs="CERT_REQUIRED")
    return HTTPConnection(host, parts.port or 80, timeout=timeout_s)


def _exchange(
    connection: HTTPConnection, line: _Line, url: str, body: bytes, headers: Mapping[str, str], control: Control
) -> Answer | Unanswered:
    sent = False
    try:
        connection.connect()
        line.take(connection.sock)
        if line.hung_up:
            return Unanswered("broken off", sent=False)
        # `line` ends it. The socket's own limit is only for a line that cannot be hung up.
        connection.timeout = control.remaining_s() + CONNECT_S
        sent = True
        connection.request("POST", _path(url), body=body, headers=headers, preload_content=False, decode_content=False)
        with connection.getresponse() as response:
            content = _beginning(response)
            return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)
    except (OSError, HTTPError, HTTPException, ValueError) as error:  # ValueError: a CA file that holds no certificate, a host that is none
        nobody = not sent and isinstance(error.__cause__, ConnectionRefusedError)
        return Unanswered(f"{type(error).__name__}: {error}"[:ERROR_CHARS], sent, nobody)


def _beginning(response: BaseHTTPResponse) -> bytes:
    # One read may return less than a broken connection promised; only the read after it says so.
    content = b""
    while len(content) < ANSWER_BYTES and (more := response.read(ANSWER_BYTES - len(content))):
        content += more
    return content


def _path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
