"""The primary that sentinels know: asked for at each connect, checked that it is one, and left as soon as another one is named."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from dispatcher.config.server_url import ServerUrl
from dispatcher.core.errors import StoreUnavailable

SENTINELS_KNOWN = 8
LOOK_S = 1.0
NO_LOOK_S = 30.0  # no sentinel answered, each in its time: what is known has to do for a while
ASK = "SENTINEL GET-MASTER-ADDR-BY-NAME"
NO_PRIMARY_NOW = ("NOREPLICAS", "UNBLOCKED")  # by min-replicas-to-write; a BRPOP that waited when the server was demoted
Address = tuple[str, int]
_named: dict[str, Address] = {}


class NoPrimary(StoreUnavailable, redis.ConnectionError):
    """Nobody is reached that serves as primary: no sentinel names one, or who was named refuses, or is a replica.

    Also one of redis-py's, so that it and kombu repeat what they repeat on a broken connection. `nobody`: nobody at all serves there, as
    far as this process can see; False if it did not answer in time, and others may reach it.
    """

    def __init__(self, message: str, *, nobody: bool) -> None:
        self.nobody = nobody
        super().__init__(message)


class Sentinels(Sentinel):
    """The sentinels of one URL, shared by every client of this process. Safe for threads, and after a fork.

    `address`: the primary that was named last; None before the first answer. `since`: monotonic time of the first answer that named it.
    """

    address: Address | None = None
    since = float("inf")
    _look_at = 0.0  # monotonic

    def look(self, service_name: str) -> Address | None:
        """The primary as of a second ago at most, or as it was known last, if none answers. Raises nothing.

        A failover by hand leaves the old primary up, and a primary in its own eyes, for ten seconds and more; what it takes is lost.
        """
        now_s = time.monotonic()
        if now_s >= self._look_at:
            self._look_at = now_s + NO_LOOK_S  # one thread asks
            with suppress(NoPrimary):
                self.discover_master(service_name)
        return self.address

    def discover_master(self, service_name: str) -> Address:
        """Asks one after the other; who answers is asked first the next time. Raises NoPrimary.

        Not the list of masters, as redis-py does: in the middle of a failover that still names the old one.
        """
        errors = []
        for sentinel in list(self.sentinels):
            try:
                answer = sentinel.execute_command(ASK, service_name)
            except (redis.RedisError, OSError) as error:
                errors.append(str(error))
                continue
            if answer:
                self.sentinels = [sentinel, *(other for other in self.sentinels if other is not sentinel)]
                _named[service_name] = address = str(answer[0]), int(answer[1])
                return self._told(address)
            errors.append("one does not know it")
        raise NoPrimary(f"no sentinel names the primary of {service_name} ({'; '.join(errors)})", nobody=False)

    def _told(self, address: Address) -> Address:
        self._look_at = time.monotonic() + LOOK_S
        if address != self.address:
            self.address, self.since = address, time.monotonic()
        return address


class PrimaryConnection(SentinelManagedConnection):
    """Stands only to a server that calls itself primary. A demoted one would take subscriptions, and answer reads with what was.

    Asked with HELLO, which every user may send.
    """

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)
        self.send_command("HELLO", check_health=False)
        said = self.read_response()
        words = [word for pair in said.items() for word in pair] if isinstance(said, dict) else said
        texts = [word.decode("utf-8", "replace") if isinstance(word, bytes) else word for word in words]
        if texts[texts.index("role") + 1] != "master":
            raise NoPrimary(f"{self.host}:{self.port} is a replica, though a sentinel names it", nobody=True)

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Also a refusal that tells of a primary without its replicas: they may have got another one, so the next call looks for that."""
        try:
            return super().read_response(*args, **options)
        except redis.ResponseError as error:
            if not str(error).startswith(NO_PRIMARY_NOW):
                raise
            self.disconnect()
            raise NoPrimary(f"{self.host}:{self.port}: {error}", nobody=True) from error

    def connect(self) -> None:
        self.retry.call_with_retry(self.connect_check_health, lambda _error: None)

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = False) -> None:  # noqa: ARG002  # redis-py's
        """Commands call it, too, on a connection that was closed; in redis-py that would lead to where it led before."""
        if self._sock:
            return
        self.host, self.port = self.connection_pool.get_master_address()
        try:
            super().connect_check_health(check_health, retry_socket_connect=False)
        except (redis.AuthenticationError, NoPrimary, redis.BusyLoadingError):
            raise
        except redis.ConnectionError as error:
            raise NoPrimary(f"the primary at {self.host}:{self.port}: {error}", nobody="refused" in str(error)) from error


class PrimaryPool(SentinelConnectionPool):
    """Hands out no connection to a primary that another client of this process knows to be one no more."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        if self.master_address is not None and self.master_address != self.sentinel_manager.look(self.service_name):
            self.get_master_address()  # closes what is idle
        return super().get_connection(*args, **options)


def sentinel_login(url: ServerUrl, timeout_s: float) -> dict[str, Any]:
    """How the sentinels themselves are reached. The password is in an object, so that whoever prints the settings does not show it."""
    user, password = url.options.get("sentinel_username"), url.options.get("sentinel_password")
    login = {"credential_provider": UsernamePasswordCredentialProvider(user, password)} if password is not None else {}
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0), **login}


@lru_cache(maxsize=SENTINELS_KNOWN)
def sentinels_of(url: ServerUrl, timeout_s: float) -> Sentinels:
    """The sentinels of this URL in this process. Asks none yet."""
    return Sentinels(url.hosts, sentinel_kwargs={"decode_responses": True, "protocol": 2, **sentinel_login(url, timeout_s)})


def current(client: Any, connection: Any) -> bool:
    """Whether the connection leads to the primary, as sentinels said a second ago at most; always without sentinels."""
    sentinels = _sentinels(client)
    return sentinels is None or sentinels.look(client.connection_pool.service_name) in (None, (connection.host, connection.port))


def left_behind(service_name: str, connection: Any) -> bool:
    """Whether this process was told, by whomever it asked last, of another primary than this connection leads to. Asks nobody."""
    return _named.get(service_name, (connection.host, connection.port)) != (connection.host, connection.port)


def primary_of(connection: Any) -> Address | None:
    """Whom sentinels named when this connection was made; None without sentinels."""
    return (connection.host, connection.port) if isinstance(connection, PrimaryConnection) else None


def known_for_s(client: Any) -> float:
    """For how long this process knows no other primary than the one that is named now; without sentinels for ever. Asks them."""
    sentinels = _sentinels(client)
    if sentinels is None:
        return float("inf")
    with suppress(NoPrimary):
        sentinels.discover_master(client.connection_pool.service_name)
    return max(0.0, time.monotonic() - sentinels.since)


def _sentinels(client: Any) -> Sentinels | None:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return manager if isinstance(manager, Sentinels) else None
