"""Calls steps over one connection of its own, for a simulation that makes hundreds of thousands of them on a private server.

What `Caller` does for many threads and a server that may be away (a pool, retries, health checks) is left out. With each round trip comes
the head of the given indexes, so that nobody has to ask for it, and a call whose answer can wait for the next one goes along with that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from dispatcher.core.errors import ScriptContractError
from dispatcher.store.scripts import Call, Caller, Reply, Script, scripts
from dispatcher.store.wire import packed


class DirectCaller(Caller):
    """For one thread. `indexes`: sorted sets whose lowest score each round trip brings along."""

    def __init__(self, client: Any, indexes: Sequence[str] = ()) -> None:
        super().__init__(client)
        self._connection = client.connection_pool.get_connection()
        self._peek = b"".join(packed("ZRANGE", key, 0, 0, "WITHSCORES") for key in indexes)
        self._indexes = len(indexes)
        # Lowest member and score of each index, as of the last round trip.
        self.heads: list[tuple[str, float] | None] = [None] * len(indexes)
        self.called: set[str] = set()
        self.earliest: float | None = None  # the lowest score of all
        self._loaded: set[str] = set()
        self._ahead: tuple[list[Call], Callable[[list[Reply]], object]] | None = None

    def call_ahead(self, calls: list[Call], then: Callable[[list[Reply]], object]) -> None:
        """Sends these in front of whatever is called next, and hands their replies to `then` before that returns."""
        if self._ahead:
            raise ScriptContractError(f"{calls[0].script}: another call goes ahead already")
        for name in {call.script for call in calls} - self._loaded:  # one that the server must first be given would go behind
            self.client.script_load(scripts()[name].source)
            self._loaded.add(name)
        self._ahead = calls, then

    def call_all(self, calls: list[Call], *, apart: bool = False) -> list[Reply]:
        if self._ahead is None:
            return super().call_all(calls, apart=apart)
        (ahead, then), self._ahead = self._ahead, None
        replies = super().call_all(ahead + calls, apart=apart)
        then(replies[: len(ahead)])
        return replies[len(ahead) :]

    def _round(self, calls: list[tuple[Script, Call]], load: Sequence[Script] = ()) -> list[Any]:
        for script in load:
            self.client.script_load(script.source)
        self.called.update(script.name for script, _ in calls)
        self._connection.send_packed_command([b"".join([*(script.packed(call.keys, call.args) for script, call in calls), self._peek])])
        replies = [self._read() for _ in calls]
        found = [self._read() for _ in range(self._indexes)]
        self.heads = [(head[0], float(head[1])) if head else None for head in found]
        self.earliest = min((head[1] for head in self.heads if head), default=None)
        return replies

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error
