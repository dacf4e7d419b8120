"""What workers count for operators: a hash of each pool, which only grows. Lost counts cost nobody a heartbeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys


class Observed:
    """Counts by field. They lie in the first slot of their pool, so that a pool's server user may write its own and no other."""

    def __init__(self, client: Any, keys: Keys) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._keys = client, keys

    def add(self, pool: str, counts: Mapping[str, int]) -> None:
        """Adds all of them in one round trip. Raises StoreUnavailable; then it is unknown whether they were added."""
        key = self._keys.pool(0, pool)["observed"]
        pipe = self._client.pipeline()
        for field, count in counts.items():
            pipe.hincrby(key, field, count)
        with unavailable(f"count for pool={pool}"):
            pipe.execute()

    def of_pools(self, pools: Iterable[str]) -> dict[str, dict[str, int]]:
        """Pool -> field -> count."""
        wanted = list(pools)
        pipe = self._client.pipeline(transaction=False)
        for pool in wanted:
            pipe.hgetall(self._keys.pool(0, pool)["observed"])
        with unavailable("read what workers counted"):
            found = pipe.execute()
        return {pool: {field: int(count) for field, count in counts.items()} for pool, counts in zip(wanted, found, strict=True)}
