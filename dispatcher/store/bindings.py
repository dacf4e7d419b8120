"""Bindings: a session key that names no agent by itself, tied to one by an operator or a gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dispatcher.config.selectors import binding_key
from dispatcher.core import session_key
from dispatcher.core.errors import InvalidAddress
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys


class Bindings:
    """Session key -> agent id, exact keys only. The configured ones lie underneath; the store's win."""

    def __init__(self, client: Any, keys: Keys, configured: dict[str, str]) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._key, self._configured = client, keys.inbox["bindings"], configured

    def all(self) -> dict[str, str]:
        with unavailable("read bindings"):
            stored: dict[str, str] = self._client.hgetall(self._key)
        return self._configured | stored

    def bind(self, key: str, agent_id: str) -> None:
        """Ties one exact key to one agent. Raises InvalidAddress for what wake.toml could not bind either."""
        key = key.strip()
        try:
            binding_key(key)
        except ValueError as error:
            raise InvalidAddress("malformed-key", f"bind: {error}") from None
        if not session_key.valid_agent_id(agent_id):
            raise InvalidAddress(
                "unknown-agent", f"bind {key!r}: {agent_id!r} is no agent id; it has letters, digits, '_' and '-', at most 64"
            )
        with unavailable(f"bind key={key!r} agent={agent_id}"):
            self._client.hset(self._key, key, agent_id.lower())

    def unbind(self, key: str) -> bool:
        """False if the store had no such binding. A binding of the configuration stays."""
        with unavailable(f"unbind key={key!r}"):
            return bool(self._client.hdel(self._key, key.strip()))


class LazyBindings(Mapping[str, str]):
    """The bindings, read once and only when a key asks for them."""

    def __init__(self, bindings: Bindings) -> None:
        self._bindings = bindings
        self._all: dict[str, str] | None = None

    def _read(self) -> dict[str, str]:
        if self._all is None:
            self._all = self._bindings.all()
        return self._all

    def __getitem__(self, key: str) -> str:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
