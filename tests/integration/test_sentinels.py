"""A store and a broker whose server is found through a sentinel, and what happens when that names another one, or none, or a wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis
from celery import Celery

from dispatcher.config import Config
from dispatcher.core.errors import StoreUnavailable
from dispatcher.store.connect import kombu_options, kombu_url
from dispatcher.store.opened import Store, open_store
from dispatcher.store.presence import PresenceLine, PresenceLost
from dispatcher.store.sweeping import Absent, Sweeping
from dispatcher.store.watching import unready
from tests.support.gates import wait_until
from tests.support.sentinels import Watched
from tests.support.server import Server
from tests.support.store import submission

PATIENCE_S = 60
PASSWORD = "of-the-sentinels"


@pytest.fixture
def watched() -> Iterator[Watched]:
    """One server and one sentinel."""
    with Watched(replicas=0, sentinels=1, password=PASSWORD) as watched:
        yield watched


@pytest.fixture
def other() -> Iterator[Server]:
    """Another server, which the sentinel does not know."""
    with Server(tcp=True) as server:
        yield server


@pytest.fixture
def config(watched: Watched) -> Config:
    return Config.model_validate({"redis": {"url": watched.url, "sentinel_password": PASSWORD}})


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with ExitStack() as at_end:
        store = open_store(config, str(config.redis_url()))
        at_end.callback(store.close)
        yield store


def accepts(store: Store, completion_id: str) -> bool:
    try:
        store.inbox.submit(submission(completion_id))
        return True
    except StoreUnavailable:
        return False


def accepted(server: Server) -> int:
    client = server.client()
    with client:
        return int(client.xlen("wake:{inbox}:stream"))


def test_store_and_broker_find_the_server(watched: Watched, config: Config, store: Store) -> None:
    store.inbox.submit(submission("c1"))
    assert accepted(watched.primary) == 1
    url, amqp = str(config.redis_url()), "dispatcher.broker:ForgivingAMQP"
    options = kombu_options(url, config.redis)
    assert PASSWORD not in f"{options} {kombu_url(url)}"
    with Celery("test", broker=kombu_url(url), set_as_current=False, amqp=amqp) as app:
        app.conf.broker_transport_options = options
        app.send_task("hello", queue="q")
    with watched.primary.client() as client:
        assert client.llen("q") == 1


def test_a_wrong_password_of_the_sentinels_is_an_outage_that_says_so(watched: Watched) -> None:
    config = Config.model_validate({"redis": {"url": watched.url, "sentinel_password": "wrong-one"}})
    store = open_store(config, str(config.redis_url()))
    with pytest.raises(
        StoreUnavailable, match=r"^submit completion=c1: no sentinel names the primary of wake \(.*WRONGPASS|invalid"
    ) as said:
        store.inbox.submit(submission("c1"))
    assert "wrong-one" not in str(said.value)
    store.close()


def test_who_is_named_and_is_a_replica_takes_nothing_and_answers_nothing(watched: Watched, store: Store) -> None:
    assert accepts(store, "c1")
    with watched.primary.client() as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="is a replica, though a sentinel names it; after a failover it goes on by itself"):
            store.inbox.submit(submission("c2"))
        line = PresenceLine(store, "worker.agents.host.1.x")
        with pytest.raises(PresenceLost) as lost:
            line.connect()
        assert lost.value.server_down
        client.replicaof("NO", "ONE")
    assert accepts(store, "c2")


def test_a_primary_that_misses_its_replicas_takes_nothing(watched: Watched, store: Store) -> None:
    assert accepts(store, "c1")
    with watched.primary.client() as client:
        client.config_set("min-replicas-to-write", 1)
        with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
            store.inbox.submit(submission("c2"))
        client.config_set("min-replicas-to-write", 0)
    assert accepts(store, "c2")
    assert accepted(watched.primary) == 2


def test_what_stands_goes_on_when_no_sentinel_answers(watched: Watched, config: Config, store: Store) -> None:
    assert accepts(store, "c1")
    server = watched.primary
    watched.sentinels[0].close()
    assert accepts(store, "c2")
    late = open_store(config, str(config.redis_url()).replace("sentinel_password", "sentinel_username=x&sentinel_password"))
    with pytest.raises(StoreUnavailable, match="no sentinel names the primary of wake"):
        late.inbox.submit(submission("c3"))
    late.close()
    assert accepted(server) == 2


def test_everything_leaves_a_server_that_is_primary_no_more(watched: Watched, other: Server, store: Store) -> None:
    """Though that one lives and would take it: within a second of the next call."""
    line = PresenceLine(store, "worker.agents.host.1.x")
    assert line.connect() is False
    assert accepts(store, "c1")
    before = watched.primary
    watched.point_at(other)
    with pytest.raises(PresenceLost) as lost:
        wait_until(lambda: line.listen(0.05), PATIENCE_S, "the presence notices it")
    assert lost.value.server_down
    assert line.connect() is True
    store.client.set("plain", "x")  # over redis-py's own pool
    wait_until(lambda: accepts(store, f"c-{accepted(other)}") and accepted(other), PATIENCE_S, "the other one takes completions")
    taken = accepted(before)
    assert accepts(store, "last")
    assert accepted(before) == taken
    with other.client() as client:
        assert client.get("plain") == "x"
        assert client.pubsub_numsub("wake:presence:worker.agents.host.1.x")[0][1] == 1
    line.close()


def test_nobody_reclaims_early_on_a_primary_that_is_new_to_him(watched: Watched, store: Store) -> None:
    """Also who was started after the failover: what he sees of absence may be the holder's way to the new primary."""
    assert accepts(store, "c1")
    absent = Absent(0, "agents", "ops", "7", "1")
    assert Sweeping(store, ["agents"]).reclaim(absent) == "TOO_EARLY"
    plain = open_store(Config(), watched.primary.url)
    assert Sweeping(plain, ["agents"]).reclaim(absent) == "CHANGED"
    plain.close()
    with pytest.raises(redis.ConnectionError):
        store.client.connection_pool.sentinel_manager.discover_master("unknown")


def test_the_doctor_says_what_a_failover_lacks(watched: Watched, other: Server, store: Store) -> None:
    """A replica, to begin with; then the sentinel."""
    (where, what), *more = unready(store)
    assert (where, what, more) == ("primary", "no replica follows it: nobody could take its place", [])
    with other.client() as client:
        client.replicaof("127.0.0.1", str(watched.primary.port))
        wait_until(lambda: watched.followers(watched.primary) == 1, PATIENCE_S, "the other one follows")
    assert list(unready(store)) == []
    port = watched.sentinels[0].port
    assert watched.sentinels[0].asked("SET", "wake", "quorum", "2")
    ((where, what),) = unready(store)
    assert where == f"sentinel 127.0.0.1:{port}"
    assert what.startswith("could not replace the primary: NOQUORUM")
    watched.sentinels[0].close()
    ((where, what),) = unready(store)
    assert what.startswith("cannot be reached")
