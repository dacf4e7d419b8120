"""`[redis] wait_replicas`: nothing is promised that only the primary has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatcher.config import Config
from dispatcher.core.errors import StoreUnavailable
from dispatcher.store.opened import Store, open_store
from dispatcher.store.watching import unready
from tests.support.gates import wait_until
from tests.support.server import Server
from tests.support.store import MAIN, submission

PATIENCE_S = 90.0
PATIENT_MS = 60_000


@pytest.fixture
def replica() -> Iterator[Server]:
    """Its primary forgets it slowly, so that one that stands still is missed by nobody but who waits for it."""
    with Server(tcp=True) as replica:
        yield replica


@pytest.fixture
def primary(replica: Server) -> Iterator[Server]:
    with Server(tcp=True) as primary, primary.client() as asked, replica.client() as told:
        asked.config_set("repl-diskless-sync-delay", "0")
        told.replicaof("127.0.0.1", str(primary.port))
        wait_until(lambda: told.info("replication")["master_link_status"] == "up", PATIENCE_S, "the replica follows")
        yield primary


def opened(primary: Server, within_ms: int) -> Store:
    redis = {"url": primary.url, "wait_replicas": 1, "wait_replicas_ms": within_ms, "socket_timeout_ms": PATIENT_MS}
    return open_store(Config.model_validate({"redis": redis}), primary.url)


def test_what_has_a_receipt_is_on_the_replica(primary: Server, replica: Server) -> None:
    store = opened(primary, PATIENT_MS // 2)
    store.inbox.submit_all([submission("c1"), submission("c2")])
    assert store.inbox.post([submission("c3")]).answers()
    with replica.client() as asked:
        assert set(asked.hgetall(store.keys.inbox["seen"])) == {"c1", "c2", "c3"}
    store.close()


def test_without_the_replica_there_is_no_receipt_and_none_for_a_repetition_either(primary: Server, replica: Server) -> None:
    """The second report of the same completion finds it on the primary, and on nothing else."""
    patient = opened(primary, PATIENT_MS // 2)
    patient.inbox.submit_all([submission("c1")])
    replica.freeze()
    hasty, another = opened(primary, 100), opened(primary, 100)
    for store in (hasty, another):  # a connection that wrote nothing itself would be told that all is there
        with pytest.raises(StoreUnavailable, match=r"submit completion=c2: no answer \(0 of 1 replicas confirmed it within 100 ms\)"):
            store.inbox.submit_all([submission("c2")])
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        hasty.inbox.post([submission("c3")]).answers()
    replica.thaw()
    receipts = patient.inbox.submit_all([submission("c2"), submission("c3")])
    assert [receipt.duplicate for receipt, _ in receipts] == [True, True]
    for store in (patient, hasty, another):
        store.close()


def test_steps_that_promise_nobody_anything_do_not_wait(primary: Server, replica: Server) -> None:
    store = opened(primary, 100)
    store.inbox.prepare()
    store.client.script_flush()
    store.inbox.claim("r1", 10)
    replica.freeze()
    assert store.inbox.claim("r1", 10).entries == []
    assert store.ledger.balance().accepted == 0
    replica.thaw()
    store.close()


def test_the_doctor_says_that_promises_wait_for_a_replica_that_is_away(primary: Server, replica: Server) -> None:
    store = opened(primary, 100)
    assert list(unready(store)) == []
    with replica.client() as told, primary.client() as asked:
        told.replicaof("NO", "ONE")
        wait_until(lambda: not asked.info("replication")["connected_slaves"], PATIENCE_S, "the primary misses it")
    ((where, what),) = unready(store)
    assert where == "primary"
    assert what.startswith("0 of 1 replicas follow it, and nothing is accepted")
    store.close()


@pytest.mark.parametrize(
    ("redis", "problem"),
    [({}, "the embedded one has none"), ({"url": "redis://h", "wait_replicas_ms": 5_000}, "must be less than socket_timeout_ms = 5000")],
)
def test_a_setting_that_could_never_be_met_is_refused(redis: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Config.model_validate({"redis": redis | {"wait_replicas": 1}})


def test_a_script_that_is_missing_is_loaded_over_the_connection_that_calls_it(primary: Server) -> None:
    """Just after a failover two connections of one client may lead to two servers."""
    store = opened(primary, PATIENT_MS // 2)
    store.client.script_load = None  # nobody asks the pool for a connection of its own
    with primary.client() as asked:
        asked.script_flush()
    (receipt, _), *_ = store.inbox.submit_all([submission("c1", MAIN)])
    assert receipt.completion_id == "c1"
    store.close()
