"""A changed configuration for a process that runs on: what may change under it does, what may not waits for a restart, and is told."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.config.loading import load
from dispatcher.config.model import Config
from dispatcher.config.sections import PoolSettings

# Connections, sockets, leases that are held, and log handlers are made from these once.
FIXED_TABLES = ("redis", "lease", "sweep", "logging", "metrics")
FIXED_POOL_KEYS = ("partitions", "concurrency", "pool_type")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is in force after a reload; `restart`: what changed in the file and takes effect with the next start only."""

    config: Config
    restart: tuple[str, ...]


def reloaded(current: Config) -> Reloaded:
    """Reads the file of `current` again. Raises ConfigError with every problem; then `current` stays as it is."""
    fresh = load(current.source)
    restart = [f"[{name}]" for name in FIXED_TABLES if getattr(fresh, name) != getattr(current, name)]
    kept: dict[str, object] = {name: getattr(current, name) for name in FIXED_TABLES}
    pools, fixed = _pools(current, fresh)
    restart += [f"[pools.{name}]" for name in fixed]
    return Reloaded(fresh.model_copy(update=kept | {"pools": pools}), tuple(restart))


def _pools(current: Config, fresh: Config) -> tuple[dict[str, PoolSettings], list[str]]:
    """A pool that comes or goes, or changes its queues, needs other workers: its agents stay where they are served."""
    before, after = set(current.pools), set(fresh.pools)
    if before != after:
        return current.pools, sorted(before ^ after)
    pools, fixed = {}, []
    for name, pool in fresh.pools.items():
        old = {key: getattr(current.pools[name], key) for key in FIXED_POOL_KEYS}
        if old != {key: getattr(pool, key) for key in FIXED_POOL_KEYS}:
            fixed.append(name)
        pools[name] = pool.model_copy(update=old)
    return pools, fixed
