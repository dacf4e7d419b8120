"""Presence: a dedicated connection that is subscribed to a channel of its own. It closes with its process, and the server knows at once."""

from __future__ import annotations

import errno
from typing import Any

import redis

from dispatcher.core.errors import StoreUnavailable
from dispatcher.store.opened import Store
from dispatcher.store.primary import Address, NoPrimary, current, primary_of

_GONE = {errno.ECONNREFUSED, errno.ENOENT}


class PresenceLost(StoreUnavailable):
    """The presence connection is gone, or could not be made. `server_down`: nobody listens there, so nobody can reclaim either."""

    def __init__(self, message: str, *, server_down: bool) -> None:
        self.server_down = server_down
        super().__init__(message)


class PresenceLine:
    """One presence. Not safe for threads: one thread connects and listens."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store, self._channel = store, store.keys.presence_channel + holder
        self._connection: Any = None  # redis-py's connection classes have no common public type
        self._primary: Address | None = None

    def connect(self) -> bool:
        """Returns once the server counts this process as present; True if another server is primary than before. Raises PresenceLost."""
        self.close()
        pool = self._store.client.connection_pool
        # Not made by the pool: it counts what it makes for ever, and refuses after the hundredth try to reach a server that is away.
        connection = pool.connection_class(**pool.connection_kwargs)
        try:
            connection.connect()
            connection.send_command("SUBSCRIBE", self._channel, check_health=False)
            connection.read_response()
        except (redis.RedisError, OSError) as error:
            connection.disconnect()
            raise PresenceLost(f"presence {self._channel}: {error}; trying again", server_down=_is_down(error)) from error
        self._connection = connection
        self._primary, before = primary_of(connection), self._primary
        return before not in (None, self._primary)

    def listen(self, timeout_s: float) -> bool:
        """Returns after `timeout_s` while the connection stands, or earlier, True, when somebody sent word. Raises PresenceLost if broken.

        A server that stands still breaks nothing: it cannot reclaim either, and the connection is there when it goes on. Sentinels are
        asked after each quiet `timeout_s` whether another server is primary: then this one counts as broken, and as down.
        """
        try:
            if self._connection.can_read(timeout=timeout_s):
                return _is_word(self._connection.read_response(timeout=timeout_s))
            if not current(self._store.client, self._connection):
                raise NoPrimary("another server is primary now", nobody=True)
        except redis.TimeoutError:
            return False
        except (redis.RedisError, OSError) as error:
            self.close()
            down = isinstance(error, NoPrimary)
            raise PresenceLost(f"presence {self._channel}: {error}; trying again", server_down=down) from error
        return False

    def close(self) -> None:
        """The process is no longer present."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def _is_word(read: Any) -> bool:
    return isinstance(read, list) and read[:1] in ([b"message"], ["message"])


def _is_down(error: BaseException) -> bool:
    """Whether the cause is that no server listens: refused, no socket file, still loading its data, or no primary any more."""
    if isinstance(error, NoPrimary):
        return error.nobody
    if isinstance(error, redis.BusyLoadingError):
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _GONE:
            return True
        cause = cause.__cause__ or cause.__context__
    return "refused" in str(error) or "No such file" in str(error)
