"""Whether the sentinels could replace the primary now, each is asked, and whether so many replicas follow it as promises wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from dispatcher.store.connect import unavailable
from dispatcher.store.opened import Store
from dispatcher.store.primary import ASK, NoPrimary, Sentinels

QUORUM = "SENTINEL CKQUORUM"


def unready(store: Store) -> Iterator[tuple[str, str]]:
    """(where, what is wrong); nothing of a server that has neither sentinels nor `wait_replicas`. Raises StoreUnavailable when there is no
    primary."""
    pool: Any = store.client.connection_pool
    sentinels, wanted = getattr(pool, "sentinel_manager", None), store.caller.replicas.wanted
    if isinstance(sentinels, Sentinels):
        for sentinel in sentinels.sentinels:
            reached = sentinel.connection_pool.connection_kwargs
            for what in _of_one(sentinel, pool.service_name, sentinels):
                yield f"sentinel {reached['host']}:{reached['port']}", what
    elif not wanted:
        return
    with unavailable("look at the primary's replicas"):
        said = store.client.info("replication")
    following = sum(isinstance(one, dict) and one.get("state") == "online" for name, one in said.items() if name.startswith("slave"))
    if following < wanted:
        yield "primary", f"{following} of {wanted} replicas follow it, and nothing is accepted: start one, or lower [redis] wait_replicas"
    elif not following:
        yield "primary", "no replica follows it: nobody could take its place"


def _of_one(sentinel: Any, service: str, sentinels: Sentinels) -> Iterator[str]:
    try:
        named = sentinel.execute_command(ASK, service)
        current = sentinels.discover_master(service)
        if not named:
            yield f"does not watch {service}"
        elif (str(named[0]), int(named[1])) != current:
            yield f"names {named[0]}:{named[1]} as primary, another one {current[0]}:{current[1]}"
        else:
            sentinel.execute_command(QUORUM, service)
    except (NoPrimary, redis.ResponseError) as error:
        yield f"could not replace the primary: {error}"
    except (redis.RedisError, OSError) as error:
        yield f"cannot be reached: {error}"
