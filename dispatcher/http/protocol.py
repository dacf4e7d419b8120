"""What a connection may do while no request is at work: a head has a time to arrive in, and so has a body that nobody wants any more.
And how many connections may be at work.

uvicorn itself bounds only the silence between two requests, and refuses too many connections in plain text, without a time to come again.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from dispatcher.http import problems


class PatientProtocol(H11Protocol):
    """Closes a connection that is too slow, however steadily its bytes drip, and refuses the requests of those beyond a bound.

    `head_s` and `max_connections` are set for the process.
    """

    head_s: ClassVar[float] = 10.0
    max_connections: ClassVar[int] = 1_500
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def handle_events(self) -> None:
        # A task may outlive its connection.
        at_work = max(len(self.connections), len(self.tasks))
        self.app = too_many_connections if at_work > self.max_connections else self.config.loaded_app
        super().handle_events()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _look(self) -> None:
        answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if self.conn.their_state is not h11.IDLE and not answered:
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_s, self._close)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def too_many_connections(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to every request beyond the bound; nothing of its body is read."""
    refused = problems.overloaded("there are too many connections; try again")
    refused.headers["Connection"] = "close"
    await problems.answer(refused)(scope, receive, send)
