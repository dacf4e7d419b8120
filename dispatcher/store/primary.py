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

SENTINELS_KNOWN = 8
LOOK_S = 1.0
NO_LOOK_S = 30.0  # no sentinel answered, each in its time: what is known has to do for a while
ASK = "SENTINEL GET-MASTER-ADDR-BY-NAME"
Address = tuple[str, int]


class NoPrimary(redis.ConnectionError):
    """Nobody is reached that serves as primary: no sentinel names one, or who was named refuses, or is a replica.

    `nobody`: nobody at all serves there, as far as this process can see; False if it did not answer in time, and others may reach it.
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
                return self._told((str(answer[0]), int(answer[1])))
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

    def connect_to(self, address: Address) -> None:
        try:
            super().connect_to(address)
        except (redis.AuthenticationError, NoPrimary, redis.BusyLoadingError):
            raise
        except redis.ConnectionError as error:
            raise NoPrimary(f"the primary at {address[0]}:{address[1]}: {error}", nobody="refused" in str(error)) from error


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


def known_for_s(client: Any) -> float:
    """For how long this process knows no other primary than the present one; without sentinels for ever."""
    sentinels = _sentinels(client)
    return float("inf") if sentinels is None else max(0.0, time.monotonic() - sentinels.since)


def _sentinels(client: Any) -> Sentinels | None:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return manager if isinstance(manager, Sentinels) else None
