"""The server is killed, goes away, loses its queues: what was accepted settles, and what runs goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dispatcher import config
from dispatcher.core.errors import StoreUnavailable
from dispatcher.store.opened import open_store
from dispatcher.store.presence import PresenceLine, PresenceLost
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, ids
from tests.support.server import Server

AGENTS = [f"a{n}" for n in range(6)]


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose server forgets nothing that it answered."""
    with Server(appendfsync="always") as server:
        gateway = Gateway(tmp_path, server)
        try:
            yield gateway
        finally:
            server.start()
            gateway.close()


def load(gateway: Gateway, turn: int) -> list[str]:
    """Five completions for each agent; a submit whose answer was lost is repeated with the same ids."""
    sent: list[str] = []
    for agent_id in AGENTS:
        fresh = ids(f"{agent_id}.{turn}", 5)
        wait_until(partial(submitted, gateway, agent_id, fresh), PATIENCE_S, "the completions are accepted")
        sent += fresh
    return sent


def submitted(gateway: Gateway, agent_id: str, completion_ids: list[str]) -> bool:
    try:
        gateway.submit(*completion_ids, session=f"agent:{agent_id}:main")
        return True
    except StoreUnavailable:
        return False


@pytest.mark.slow
def test_a_server_killed_under_load_and_started_again(durable: Gateway) -> None:
    """The same workers go on without being restarted; every completion is in one settled batch; the books balance."""
    durable.configure(agents={agent_id: {} for agent_id in AGENTS})
    router, worker = durable.start_router(), durable.start_worker()
    durable.ready()
    sent: list[str] = []
    for turn in range(4):
        durable.plan(seconds=0.2, gate=f"turn-{turn}")
        sent += load(durable, turn)
        wait_until(lambda: any(beat.ended is None for beat in durable.beats()), PATIENCE_S, "heartbeats run")
        durable.server.restart(graceful=turn % 2 == 1)
        durable.open(f"turn-{turn}")
    sent += load(durable, 4)
    durable.quiet(accepted=len(sent), settled=len(sent))
    beats = durable.beats()
    assert router.alive
    assert worker.alive
    assert_one_at_a_time(beats)
    assert_each_once(beats, sent)
    assert [beat for beat in beats if beat.attempt > 1] == []
    # A router whose acknowledgement was lost repeats it when the claim has run out; until then the ledger knows less than the books.
    wait_until(lambda: durable.store.ledger.inbox_depth() == 0, PATIENCE_S, "everything is acknowledged")
    for completion_id in sent[:: len(sent) // 10]:
        where = durable.store.ledger.where(completion_id)
        assert where
        assert where.detail == f"{next(b.batch_id for b in beats if completion_id in b.ids)}|ran"


def absence(gateway: Gateway, away_s: float) -> None:
    """A heartbeat starts, the server is away for a while, the heartbeat ends after its return, and it was the only one.

    The lease is the default one of 30 s; it is renewed more often, so that a slow machine has the rest of it to start the server.
    """
    gateway.configure(lease={"renew_ms": 500, "margin_ms": 500}, sweep={"young_server_ms": 10_000})
    gateway.plan(gate="goes-on")
    gateway.start_router()
    worker, _ = gateway.start_worker(), gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    (beat,) = gateway.started(1)
    gateway.server.kill()
    back_at = time.monotonic() + away_s
    wait_until(lambda: time.monotonic() >= back_at, away_s + 1, "the server has been away long enough")
    assert worker.alive
    gateway.server.start()
    gateway.submit("c2")
    gateway.ready()
    renewals = gateway.renewals()
    wait_until(lambda: gateway.renewals() >= renewals + 2, PATIENCE_S, "the lease is renewed again")
    gateway.open("goes-on")
    gateway.quiet(accepted=2, settled=2)
    first, second = gateway.beats()
    assert (first.pid, first.attempt, second.attempt) == (beat.pid, 1, 1)
    assert second.ids == ("c2",)
    assert_one_at_a_time([first, second])
    assert {"reclaimed", "taken-over", "failed"}.isdisjoint(gateway.records())


@pytest.mark.slow
def test_a_server_that_is_away_costs_no_running_heartbeat(durable: Gateway) -> None:
    """Away for a dozen renewals."""
    absence(durable, away_s=6)


@pytest.mark.slow
def test_a_server_that_is_away_for_twenty_seconds_costs_no_running_heartbeat(durable: Gateway) -> None:
    """Two thirds of a lease."""
    absence(durable, away_s=20)


def test_a_process_becomes_present_again_however_long_the_server_was_away() -> None:
    """Hundreds of tries in vain, then the server is back: without presence a worker takes no lease."""
    with Server() as server:
        settings = config.load(env={"WAKE_REDIS_URL": server.url})
        store = open_store(settings, server.url)
        line = PresenceLine(store, "worker.agents.host.1.x")
        line.connect()
        server.kill()
        for _ in range(300):
            with pytest.raises(PresenceLost) as lost:
                line.connect()
            assert lost.value.server_down
        server.start()
        line.connect()
        assert store.ledger.presences() == ["worker.agents.host.1.x"]
        line.close()
        store.close()


def test_doorbells_that_are_lost_are_rung_again(gateway: Gateway) -> None:
    """The queues are emptied before a worker is there and under load: everything still settles."""
    gateway.configure(agents={agent_id: {} for agent_id in AGENTS})
    gateway.start_router()
    gateway.ready()
    sent = load(gateway, 0)
    wait_until(lambda: gateway.store.ledger.balance().pending == len(sent), PATIENCE_S, "everything is routed")
    gateway.start_worker()
    lost = turn = 0
    while turn < 30 or not lost:  # what a worker is quick enough to take is not lost
        turn += 1
        assert turn < 300, "no doorbell was lost"
        sent += load(gateway, turn)
        lost += flush(gateway)
    gateway.quiet(accepted=len(sent), settled=len(sent))
    assert_each_once(gateway.beats(), sent)
    assert_one_at_a_time(gateway.beats())


def flush(gateway: Gateway) -> int:
    """Empties every queue of the pool; how many there were."""
    return sum(int(gateway.store.client.delete(queue)) for queue in gateway.store.client.keys("wake.agents.*"))
