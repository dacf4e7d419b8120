"""How this project reaches its server: one client per process, bounded waits, one kind of error."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlencode

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from dispatcher.config.server_url import SENTINEL, ServerUrl
from dispatcher.core.errors import StoreUnavailable
from dispatcher.store.primary import NoPrimary, PrimaryConnection, PrimaryPool, sentinel_login, sentinels_of

HEALTH_CHECK_INTERVAL_S = 15
MAX_CONNECTIONS = 2_048  # every thread that calls at once has one; a worker may have 1 000, and redis-py would refuse the 101st
# A peer that is cut off is noticed 30 s later at most, and 20 s after the way is free again if it knows this connection no more.
# Nothing else would tell a presence, which only listens. The rule for early reclaim relies on it. Platforms know some of these names.
_KEEPALIVE = {"TCP_KEEPALIVE": 15, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
KEEPALIVE = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
NOTICED_MS = 30_000
VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
CANNOT_SERVE = ("OOM", "MISCONF", "READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "LOADING", "BUSY", "NOAUTH", "NOPERM")


class Waits(Protocol):
    """The two waits that bound every call; `Config.redis` has them."""

    @property
    def socket_timeout_ms(self) -> int: ...
    @property
    def connect_timeout_ms(self) -> int: ...


def connect(url: str, settings: Waits, *, client_name: str | None = None) -> redis.Redis:
    """A client whose answers are texts. Opens no connection yet; safe for threads, and after a fork.

    A connection that broke is opened again once, at once, and the call repeated: every step of the store bears that. A call that
    timed out is not repeated. Text that is no UTF-8 comes with U+FFFD in place of the bad bytes, so that one foreign
    entry cannot make a whole batch unreadable.
    """
    options: dict[str, Any] = {
        "socket_timeout": settings.socket_timeout_ms / 1000,
        "socket_connect_timeout": settings.connect_timeout_ms / 1000,
        "max_connections": MAX_CONNECTIONS,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        "decode_responses": True,
        "encoding_errors": "replace",
        "protocol": 2,
        "client_name": client_name,
    }
    place = ServerUrl.parse(url)
    if place.scheme != "unix":
        options |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    if not place.by_sentinels:
        plain: redis.Redis = redis.Redis.from_url(url, **options)
        return plain
    login = {"username": place.user or None, "password": place.password or None, "db": place.database}
    sentinels: Any = sentinels_of(place, settings.connect_timeout_ms / 1000)
    found: redis.Redis = sentinels.master_for(
        place.master, connection_pool_class=PrimaryPool, connection_class=PrimaryConnection, **options, **login
    )
    return found


@contextmanager
def unavailable(operation: str) -> Iterator[None]:
    """Turns every "no answer" and "cannot serve" of the server into StoreUnavailable("<operation>: <cause>; <remedy>").

    `operation` names the step and whom it is for, as in "settle agent=ops token=7". Errors that are bugs (wrong type, unknown
    command, a script's own) pass through unchanged.
    """
    try:
        yield
    except redis.AuthenticationError as error:
        raise StoreUnavailable(f"{operation}: the server refused the login ({error}); check user and password in [redis] url") from error
    except redis.TimeoutError as error:
        raise StoreUnavailable(f"{operation}: no answer ({error}); whether it took effect is unknown; it may be tried again") from error
    except NoPrimary as error:
        raise StoreUnavailable(f"{operation}: {error}; after a failover it goes on by itself, see docs/failover.md") from error
    except (redis.ConnectionError, OSError) as error:
        raise StoreUnavailable(f"{operation}: {error}; start the server (`wake up`), or check [redis] url and WAKE_REDIS_URL") from error
    except redis.ResponseError as error:
        if not cannot_serve(error):
            raise
        raise StoreUnavailable(f"{operation}: the server cannot serve this now ({error}); see its memory, disk, role and ACL") from error


def kombu_url(url: str) -> str:
    """The same server in the form that kombu understands: Unix sockets as `redis+socket://`, the database as path or `virtual_host`, each
    sentinel as a URL of its own; what those watch goes into `kombu_options`.

    Options that only redis-py knows are left out. `rediss://` verifies the server's certificate and name, whatever the URL says.
    """
    place = ServerUrl.parse(url)
    if place.scheme == "unix":
        return f"redis+socket://{place.encoded_login}{place.path}?{urlencode({'virtual_host': place.database})}"
    if place.by_sentinels:
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in place.hosts)
        return ";".join(f"{SENTINEL}://{place.encoded_login}{host}/{place.database}" for host in hosts)
    options = {name: value for name, value in place.options.items() if name.startswith("ssl_")}
    if place.scheme == "rediss":
        options |= VERIFIED
    return f"{place.scheme}://{place.encoded_login}{place.place}/{place.database}" + (f"?{urlencode(options)}" if options else "")


def kombu_options(url: str, settings: Waits) -> dict[str, Any]:
    """The transport options that belong to `kombu_url`; of anything but sentinels none. No repr of them shows a password."""
    place = ServerUrl.parse(url)
    if not place.by_sentinels:
        return {}
    return {"master_name": place.master, "sentinel_kwargs": sentinel_login(place, settings.connect_timeout_ms / 1000)}


def cannot_serve(error: redis.ResponseError) -> bool:
    """Whether the whole server is in no state to do it (memory, disk, role, rights), and not this one call wrong."""
    if isinstance(error, redis.ReadOnlyError | redis.OutOfMemoryError | NoPermissionError):
        return True  # redis-py cuts the code word off these
    return str(error).split(" ", 1)[0] in CANNOT_SERVE
