"""The client on a real server: bounded waits, one repetition, and one kind of error."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.connection import Connection

from dispatcher.config import RedisSettings
from dispatcher.core.errors import StoreUnavailable
from dispatcher.embedded import EmbeddedServer
from dispatcher.store.connect import NOTICED_MS, connect, kombu_url, unavailable
from tests.support.gates import wait_until
from tests.support.server import Server

KEPT = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
QUICK = RedisSettings(socket_timeout_ms=150, connect_timeout_ms=150)


@pytest.fixture(params=[False, True], ids=["unix", "tcp"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this test alone, to be killed and frozen."""
    with Server(tcp=request.param) as server:
        yield server


@pytest.fixture
def limited(server: Server, redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """The code under test on the shared server, empty; settings that a test changed are put back."""
    client = connect(server.url, RedisSettings())
    yield client
    client.close()
    redis_client.config_set("maxmemory", "0")
    redis_client.replicaof("NO", "ONE")
    redis_client.acl_deluser("reader")


def test_answers_are_texts_and_bad_bytes_do_not_hide_the_rest(limited: redis.Redis, server: Server) -> None:
    client = limited
    raw = redis.Redis.from_url(server.url)
    raw.set("bad", b"a\xffb")
    client.set("surrogate", "a\udc80b")
    assert (client.get("bad"), client.get("surrogate"), raw.get("surrogate")) == ("a\ufffdb", "a?b", b"a?b")
    raw.close()


def test_a_restart_between_two_calls_goes_unnoticed(own_server: Server) -> None:
    client = connect(own_server.url, RedisSettings())
    client.set("k", "v")
    own_server.restart()
    with unavailable("read key"):
        assert client.get("k") == "v"
    client.close()


def test_a_connection_that_only_listens_asks_whether_the_server_is_still_there(own_server: Server) -> None:
    """The kernel asks for it; over a Unix socket there is no way that could be cut."""
    client = connect(own_server.url, RedisSettings())
    connection: Any = client.connection_pool.get_connection()
    asked = connection._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert bool(asked) == own_server.url.startswith("redis:")
    if asked:
        idle, every, times = (connection._sock.getsockopt(socket.IPPROTO_TCP, option) for option in KEPT)
        assert (idle + every * times) * 1000 == NOTICED_MS
    client.connection_pool.release(connection)
    client.close()


def test_a_dead_server_is_unavailable_and_the_message_says_what_to_do(own_server: Server) -> None:
    client = connect(own_server.url, RedisSettings())
    own_server.kill()
    with (
        pytest.raises(StoreUnavailable, match=r"^settle agent=ops token=7: .*; start the server \(`wake up`\), or check \[redis\] url"),
        unavailable("settle agent=ops token=7"),
    ):
        client.ping()
    own_server.start()
    assert client.ping()
    client.close()


def test_a_frozen_server_is_unavailable_until_it_answers_again(own_server: Server) -> None:
    client = connect(own_server.url, QUICK)
    own_server.freeze()
    with pytest.raises(StoreUnavailable, match=r"^count agent=ops: no answer .*may be tried again"), unavailable("count agent=ops"):
        client.incr("n")
    own_server.thaw()
    assert wait_until(lambda: quietly(client), 60, "the server answers again")
    client.close()


def test_a_call_that_timed_out_is_not_repeated(own_server: Server) -> None:
    """Its caller decides: a repetition would double the wait that the caller asked for."""
    client, plain = connect(own_server.url, QUICK), own_server.client()
    wait_until(lambda: quietly(client), 60, "a connection that is fast enough")
    before = plain.info("stats")["total_connections_received"]
    plain.client_pause(timeout=600_000, all=False)  # writes wait, a new connection would get through
    with pytest.raises(redis.TimeoutError):
        client.incr("n")
    assert plain.info("stats")["total_connections_received"] == before
    plain.close()
    client.close()


def test_a_call_whose_connection_broke_is_repeated_once(own_server: Server) -> None:
    plain, client = own_server.client(), connect(own_server.url, RedisSettings(socket_timeout_ms=60_000))

    killed: set[str] = set()

    def waiting() -> str | None:
        # The flag, not the command: an idle connection still shows its last command, and the pool replaces it without a repetition.
        return next((c["id"] for c in plain.client_list() if "b" in c["flags"] and c["id"] not in killed), None)

    def kill() -> None:
        killed.add(wait_until(waiting, 90, "the call waits") or "")
        plain.client_kill_filter(_id=max(killed, key=int))

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.blpop, ["k"], 50)
        kill()
        wait_until(waiting, 90, "it waits again")
        plain.lpush("k", "v")
        assert call.result(60) == ("k", "v")
        call = pool.submit(client.blpop, ["k"], 50)
        kill()
        kill()
        with pytest.raises(redis.ConnectionError):
            call.result(60)
    plain.close()
    client.close()


def quietly(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_a_full_server_cannot_serve_plainly_or_in_a_script(limited: redis.Redis) -> None:
    limited.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match=r"^submit: the server cannot serve this now \(.*; see its memory"), unavailable("submit"):
        limited.set("k", "v")
    with pytest.raises(StoreUnavailable), unavailable("submit"):
        limited.eval("return redis.call('SET', KEYS[1], 'v')", 1, "k")


def test_a_replica_cannot_serve_writes(limited: redis.Redis) -> None:
    limited.replicaof("127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="cannot serve"), unavailable("submit"):
        limited.set("k", "v")


def test_a_login_that_is_wrong_or_may_not_do_it_is_said_so(limited: redis.Redis, server: Server) -> None:
    limited.acl_setuser("reader", enabled=True, passwords="+pw", keys="*", commands=["+get"])
    wrong = connect(server.url.replace("unix://", "unix://reader:no@"), RedisSettings())
    with pytest.raises(StoreUnavailable, match=r"refused the login .*check user and password"), unavailable("claim"):
        wrong.get("k")
    reader = connect(server.url.replace("unix://", "unix://reader:pw@"), RedisSettings())
    assert reader.get("k") is None
    with pytest.raises(StoreUnavailable, match=r"cannot serve .*ACL"), unavailable("claim"):
        reader.set("k", "v")
    wrong.close()
    reader.close()


def test_a_bug_is_not_dressed_up_as_an_outage(limited: redis.Redis) -> None:
    client = limited
    client.set("k", "v")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"), unavailable("deposit"):
        client.lpush("k", "v")
    with pytest.raises(redis.ResponseError, match="NOTICE"), unavailable("deposit"):
        client.eval("return redis.error_reply('NOTICE me')", 0)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", "redis://h/0"),
        ("redis://u:p%40@h:1/2?socket_timeout=3", "redis://u:p%40@h:1/2"),
        ("redis://h?db=4", "redis://h/4"),
        ("rediss://h/1?ssl_ca_certs=%2Fx", "rediss://h/1?ssl_ca_certs=%2Fx&ssl_cert_reqs=required&ssl_check_hostname=true"),
        ("rediss://h/1?ssl_cert_reqs=none", "rediss://h/1?ssl_cert_reqs=required&ssl_check_hostname=true"),
        ("unix:///run/a%20b/s?db=1", "redis+socket:///run/a%20b/s?virtual_host=1"),
        ("unix:///run/s", "redis+socket:///run/s?virtual_host=0"),
        ("unix://u:p%2F@/run/s", "redis+socket://u:p%2F@/run/s?virtual_host=0"),
        ("unix:///run/s?password=p%2F&username=u", "redis+socket://u:p%2F@/run/s?virtual_host=0"),
    ],
)
def test_the_form_that_kombu_understands(url: str, expected: str) -> None:
    assert kombu_url(url) == expected


def put_with_kombu(url: str) -> None:
    with Connection(kombu_url(url)) as link:
        queue = link.SimpleQueue("q")
        queue.put("hello")
        queue.close()


def test_both_clients_reach_the_same_database(own_server: Server) -> None:
    url = own_server.url.replace("db=0", "db=3") if "db=0" in own_server.url else own_server.url.removesuffix("/0") + "/3"
    client = connect(url, RedisSettings())
    put_with_kombu(url)
    assert client.llen("q") == 1
    client.close()


def test_both_clients_log_in_over_the_socket(server: Server, limited: redis.Redis, redis_client: redis.Redis) -> None:
    limited.acl_setuser("reader", enabled=True, passwords="+p/w@:", keys="*", categories=["+@all"])
    limited.acl_setuser("default", enabled=False, nopass=True, keys="*", channels="*", categories=["+@all"])
    try:
        put_with_kombu(server.url.replace("unix://", "unix://reader:p%2Fw%40%3A@"))
    finally:
        limited.acl_setuser("default", enabled=True, nopass=True, keys="*", channels="*", categories=["+@all"])
    assert redis_client.llen("q") == 1


def test_both_clients_find_a_socket_in_a_folder_with_odd_characters() -> None:
    with tempfile.TemporaryDirectory(prefix="wk-") as folder:
        embedded = EmbeddedServer(Path(folder) / "my data #1 50%25?")
        url = embedded.start()
        try:
            client = connect(url, RedisSettings())
            put_with_kombu(url)
            assert client.llen("q") == 1
            client.close()
        finally:
            embedded.stop()
