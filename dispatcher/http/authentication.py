"""Bearer tokens (RFC 6750), asked for before anything of the body is read; and a limit on refused ones."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import Request

from dispatcher.config import Config
from dispatcher.core.errors import TokenRefused
from dispatcher.core.grant import Grant
from dispatcher.core.trace_context import Context, trace_context
from dispatcher.http.problems import Refused
from dispatcher.tokens import Keyring

MAX_PEERS = 4_096


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: what the token allows, and the token for the routers, who check it again. Without one, nothing is checked here.

    `trace`: the context of W3C in the head of the request.
    """

    grant: Grant | None
    token: str | None
    trace: Context | None = None


class FailureLimit:
    """Counts refused tokens by peer, of the newest peers only. A valid token is never held up: on loopback all share one address."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit, self._window_s = limit, window_s
        self._peers: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, peer: str, now_s: float) -> float | None:
        """Notes a failure; the seconds to wait if there were too many, else None."""
        since_s, count = self._peers.pop(peer, (now_s, 0))
        if now_s - since_s >= self._window_s:
            since_s, count = now_s, 0
        self._peers[peer] = (since_s, count + 1)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        return since_s + self._window_s - now_s if count >= self._limit else None

    def __len__(self) -> int:
        return len(self._peers)


class Authentication:
    """What `[http]` and `[routing]` ask of a request."""

    def __init__(self, config: Config) -> None:
        self._required = config.http.require_token or config.routing.require_token
        self._keyring = Keyring(config)
        self._limit = FailureLimit(config.http.auth_failures, config.http.auth_window_s)

    def caller(self, request: Request) -> Caller:
        """Raises Refused (401, or 429 after too many failures of this peer)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if not token and not self._required:
            return Caller(None, None, trace_context(request.headers))
        try:
            if scheme.lower() != "bearer" or not token:
                raise TokenRefused("token refused: there is none; send Authorization: Bearer, and make one with `wake token mint`")
            return Caller(self._keyring.verify(token, time.time()), token, trace_context(request.headers))
        except TokenRefused as error:
            wait_s = self._limit.failed(request.client.host if request.client else "unix", time.monotonic())
            if wait_s is not None:
                said = "too many refused tokens from this address; a valid one is still taken"
                raise Refused(429, "too-many-failures", "Too many refused tokens", said, {"Retry-After": str(math.ceil(wait_s))}) from None
            challenge = 'Bearer error="invalid_token"' if token else "Bearer"
            raise Refused(401, "token-refused", "Token refused", str(error), {"WWW-Authenticate": challenge}) from None
