"""Commands as they are sent: packed by us, many in one round trip, answered in order.

A step has thirty keys, and its agent's are the same each time; packing them anew, word by word, cost more than all the rest of a call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from dispatcher.store.primary import current


def bulk(words: Sequence[bytes]) -> bytes:
    """Words of a command, without its head."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def packed(*words: str | bytes | int) -> bytes:
    """One command. Text becomes UTF-8, a lone surrogate `?`."""
    raw = [word if isinstance(word, bytes) else str(word).encode("utf-8", "replace") for word in words]
    return b"*%d\r\n%b" % (len(raw), bulk(raw))


class Wire:
    """Round trips over connections as the client's pool makes them, with its waits, health checks and repetitions.

    Connections of its own, because the pool asks each one that it hands out whether something lies in it: four system calls, more than the
    round trip costs us otherwise. Nothing can lie in one of these: whoever did not read all replies has closed it. One that the server
    closed is found by the call, which is then repeated on a new one.
    """

    def __init__(self, client: Any) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client = client
        self._idle: list[Any] = []  # append and pop are atomic

    def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies in order; what the server refused has its ResponseError in its place. Raises what the connection raises."""
        connection = self._take()
        try:
            return list(connection.retry.call_with_retry(lambda: _exchange(connection, commands), lambda _error: connection.disconnect()))
        finally:
            self._idle.append(connection)

    def _take(self) -> Any:
        while self._idle:
            with suppress(IndexError):
                connection = self._idle.pop()
                if connection.pid != os.getpid():  # a forked child must not speak on its parent's
                    continue
                if current(self._client, connection):
                    return connection
                connection.disconnect()
        pool = self._client.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def close(self) -> None:
        """Closes what is idle; a later call opens a connection again."""
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().disconnect()

    def post(self, commands: Sequence[bytes]) -> Posted:
        """Sends without waiting for the replies, and without repeating. Raises what the connection raises."""
        pool = self._client.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command([b"".join(commands)])
        except BaseException:
            connection.disconnect()
            pool.release(connection)
            raise
        return Posted(pool, connection, len(commands))


class Posted:
    """Commands whose replies are on their way. Its connection is nobody else's until `replies` was called."""

    def __init__(self, pool: Any, connection: Any, count: int) -> None:
        self._pool, self._connection, self._count = pool, connection, count

    def replies(self) -> list[Any]:
        """As `Wire.exchange`; to be called once."""
        try:
            return [_reply(self._connection) for _ in range(self._count)]
        except BaseException:
            self._connection.disconnect()
            raise
        finally:
            self._pool.release(self._connection)


def _exchange(connection: Any, commands: Sequence[bytes]) -> list[Any]:
    try:
        connection.send_packed_command([b"".join(commands)])
        return [_reply(connection) for _ in commands]
    except BaseException:
        connection.disconnect()  # what is still on its way would be taken for the answer to the next call
        raise


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
