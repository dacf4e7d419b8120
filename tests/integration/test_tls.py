"""The way to a server with TLS, for the store and for Celery's broker: verified without being asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import trustme
from kombu.exceptions import OperationalError

from dispatcher.app import base_settings, make_app
from dispatcher.config import Config, load
from dispatcher.core.errors import ConfigError, StoreUnavailable
from dispatcher.store.connect import connect, unavailable
from tests.support.server import Server
from tests.support.tls_front import TlsFront


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def front(server: Server, redis_client: redis.Redis, authority: trustme.CA) -> Iterator[Callable[..., TlsFront]]:
    """A front of a server that has no data, for a host; open until the test ends."""
    assert redis_client.ping()
    with ExitStack() as opened:
        yield lambda *host: opened.enter_context(TlsFront(server, authority, *host))


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return "ca.pem"  # counts from the file's folder


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Config]:
    def configured(url: str, **more: str) -> Config:
        path = tmp_path / "wake.toml"
        path.write_text("[redis]\n" + "".join(f'{name} = "{value}"\n' for name, value in {"url": url, **more}.items()))
        return load(path, {})

    return configured


def store_reaches(config: Config) -> None:
    client = connect(str(config.redis_url()), config.redis)
    try:
        with unavailable("ping"):
            client.ping()
    finally:
        client.close()


def broker_reaches(config: Config) -> None:
    app = make_app("tls", lambda: base_settings(config, str(config.redis_url()), "inbox"))
    with app.connection_for_write() as link:
        link.ensure_connection(max_retries=1, interval_start=0)
        link.default_channel.client.ping()


EACH_WAY = pytest.mark.parametrize("reach", [store_reaches, broker_reaches])
REFUSED = (StoreUnavailable, OperationalError, redis.ConnectionError)


Reach = Callable[[Config], None]


@EACH_WAY
def test_a_server_that_no_known_authority_vouches_for_is_refused(
    reach: Reach, front: Callable[..., TlsFront], configured: Callable[..., Config]
) -> None:
    way = front()
    with pytest.raises(REFUSED, match="certificate verify failed"):
        reach(configured(way.url))
    assert way.let_in == 0


@EACH_WAY
def test_an_authority_of_its_own_is_named_in_ca_file(
    reach: Reach, front: Callable[..., TlsFront], configured: Callable[..., Config], trusted: str, redis_client: redis.Redis
) -> None:
    redis_client.acl_setuser("tls", enabled=True, passwords="+p/w@:", keys="*", channels="*", categories=["+@all"])
    try:
        way = front()
        reach(configured(way.url.replace("://", "://tls@"), ca_file=trusted, password="p/w@:"))
        assert way.let_in > 0
    finally:
        redis_client.acl_deluser("tls")


@EACH_WAY
def test_authorities_of_the_system_are_known(
    reach: Reach,
    front: Callable[..., TlsFront],
    configured: Callable[..., Config],
    trusted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / trusted))  # where OpenSSL looks for them
    reach(configured(front().url))


@EACH_WAY
def test_a_certificate_of_another_host_is_refused(
    reach: Reach, front: Callable[..., TlsFront], configured: Callable[..., Config], trusted: str
) -> None:
    way = front("example.test")
    with pytest.raises(REFUSED, match="certificate verify failed"):
        reach(configured(way.url, ca_file=trusted))
    assert way.let_in == 0


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false", "ssl_check_hostname=0"])
def test_nobody_can_ask_to_trust_anyone(option: str, configured: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"would trust any server; name its certificate authority in \[redis\] ca_file instead"):
        configured(f"rediss://h:1/0?{option}")
