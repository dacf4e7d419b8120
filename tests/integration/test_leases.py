"""Lease keeper, presence and sweeper on a real server, each driven by hand: who holds, who is gone, who is rung."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import redis

from dispatcher.config import Config, load
from dispatcher.core.models import Lease
from dispatcher.core.rules import TURN_ORDER
from dispatcher.routing import Router
from dispatcher.store.cancels import Running
from dispatcher.store.mailbox import Begun, Leased, Mailbox
from dispatcher.store.opened import Store, open_store
from dispatcher.submit import completion_of, submission_of
from tests.support.gates import wait_until
from tests.support.server import Server
from workers.lease_keeper import Held, LeaseKeeper
from workers.presence import Presence, holder_name
from workers.runners import Control, Why
from workers.sweeper import Sweeper

TOML = """
[agents.ops]
window_ms = 0
[sweep]
young_server_ms = 0
[lease]
early_reclaim_ms = 100
"""


class Bells:
    """Notes who was rung."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        self.rung += agents
        return len(self.rung)


class Bench:
    """One store with one agent that has work."""

    def __init__(self, folder: Path, url: str) -> None:
        (folder / "wake.toml").write_text(TOML)
        self.config: Config = load(folder / "wake.toml", {})
        self.store: Store = open_store(self.config, url)
        self.store.inbox.prepare()
        self.bells = Bells()
        self.sweeper = Sweeper(self.store, self.config, ("agents",), self.bells)

    def wake(self) -> None:
        self.store.inbox.submit(submission_of(completion_of({"session_key": "agent:ops:main", "exit_code": 1})))
        Router(self.store, self.config, Bells()).drain_inbox()

    def begun(self, holder: str) -> tuple[Lease, str]:
        self.wake()
        acquired = self.store.mailbox.acquire("ops", "agents", holder, "n")
        assert isinstance(acquired, Leased)
        begun = self.store.mailbox.begin(acquired.lease, "agent:ops:main", TURN_ORDER, 10, 60_000)
        assert isinstance(begun, Begun)
        return acquired.lease, begun.batch.batch_id

    def keeper(self, mailbox: Mailbox | None = None, ttl_ms: int = 30_000, shrink_ms: int = 400) -> LeaseKeeper:
        return LeaseKeeper(mailbox or self.store.mailbox, ttl_ms, 5_000, ttl_ms // 10, shrink_ms)


@pytest.fixture
def bench(redis_client: redis.Redis, server: Server, tmp_path: Path) -> Iterator[Bench]:
    assert redis_client.dbsize() == 0
    bench = Bench(tmp_path, server.url)
    yield bench
    bench.store.close()


@pytest.fixture
def present(bench: Bench) -> Iterator[Presence]:
    presence = Presence(bench.store, holder_name("worker", "agents"))
    presence.start()
    assert presence.wait_present(60)
    yield presence
    presence.stop()


def held(keeper: LeaseKeeper, lease: Lease, batch_id: str) -> Held:
    return keeper.hold(lease, batch_id, Control(60), time.monotonic())


def test_a_renewal_moves_trust_and_tells_the_runner(bench: Bench) -> None:
    """Trust counts from before the call."""
    keeper, (lease, batch_id) = bench.keeper(), bench.begun("h1")
    mine = held(keeper, lease, batch_id)
    mine.trusted_until = 0.0
    before = time.monotonic()
    keeper.run_once()
    assert before + 27 <= mine.trusted_until <= time.monotonic() + 27
    assert mine.control.trust_left_ms()
    assert not mine.control.lost.is_set()


def test_a_lease_that_somebody_else_took_is_lost_at_the_next_renewal(bench: Bench) -> None:
    """STALE_TOKEN ends the heartbeat."""
    keeper, (lease, batch_id) = bench.keeper(), bench.begun("h1")
    mine = held(keeper, lease, batch_id)
    absent = bench.sweeper._sweeping.absent()
    assert [a.agent_id for a in absent] == ["ops"]
    assert bench.sweeper._sweeping.reclaim(absent[0]) == "RECLAIMED"
    assert isinstance(bench.store.mailbox.acquire("ops", "agents", "h2", "n2"), Leased)
    keeper.run_once()
    assert mine.control.lost.is_set()


def test_what_an_operator_cancelled_is_heard_at_the_next_renewal(bench: Bench) -> None:
    """Also when the nudge was lost. The lease is renewed, or the runner could not end in peace."""
    keeper, (lease, batch_id) = bench.keeper(), bench.begun("h1")
    mine = held(keeper, lease, batch_id)
    running = Running("ops", "agents", batch_id, lease.token, "h1")
    assert bench.store.cancels.cancel(running, "ann@vm", "", retry=True).status == "CANCELLING"
    before = mine.trusted_until
    keeper.run_once()
    assert (mine.control.why(), mine.control.to_retry) == (Why.CANCEL, True)
    assert mine.trusted_until > before


def test_trust_ends_even_while_a_renewal_hangs(bench: Bench, server: Server) -> None:
    """The watch on the clock does not wait for the server."""
    keeper, (lease, batch_id) = bench.keeper(ttl_ms=1_000), bench.begun("h1")
    server.freeze()
    try:
        keeper.start()
        mine = held(keeper, lease, batch_id)
        keeper.renew_now()  # a renewal starts now, and hangs
        assert mine.control.lost.wait(200)
    finally:
        server.thaw()
        keeper.stop()


def test_a_lost_presence_shrinks_trust_unless_the_server_is_down(bench: Bench) -> None:
    """Nobody can reclaim on a server that does not listen."""
    keeper, (lease, batch_id) = bench.keeper(), bench.begun("h1")
    mine = held(keeper, lease, batch_id)
    now = time.monotonic()
    keeper.presence_lost(now, server_down=True)
    assert mine.trust_ends() == mine.trusted_until
    keeper.presence_lost(now, server_down=False)
    assert mine.trust_ends() == pytest.approx(now + 0.4)
    keeper.run_once()
    assert mine.trust_ends() == mine.trusted_until


def test_keeper_and_sweeper_tolerate_never_started_and_twice(bench: Bench) -> None:
    """Start and stop in any order."""
    for loop in (bench.keeper(), bench.sweeper):
        loop.stop()
        loop.start()
        loop.start()
        loop.stop()
        loop.stop()


def test_a_killed_presence_connection_comes_back_and_says_so(bench: Bench, present: Presence, redis_client: redis.Redis) -> None:
    """It reconnects, subscribes again, and has everything renewed at once."""
    heard: list[str] = []
    present.on_lost = lambda _at, down: heard.append(f"lost, server down: {down}")
    present.on_back = lambda: heard.append("back")
    assert bench.store.ledger.presences() == [present.holder]
    redis_client.client_kill_filter(_type="pubsub")
    wait_until(lambda: heard[-1:] == ["back"], 60, "the presence to come back")
    assert heard[0] == "lost, server down: False"
    assert bench.store.ledger.presences() == [present.holder]


def test_a_server_that_went_away_is_recognised_as_down(bench: Bench, present: Presence, server: Server) -> None:
    """So that its absence costs no running heartbeat."""
    heard: list[bool] = []
    present.on_lost = lambda _at, down: heard.append(down)
    server.kill()
    wait_until(lambda: heard[-1:] == [True], 60, "the holder to see that nobody listens")
    server.start()
    assert present.wait_present(60)
    assert bench.store.ledger.presences() == [present.holder]


def test_a_present_holder_is_never_reclaimed(bench: Bench, present: Presence) -> None:
    """However often one looks."""
    bench.begun(present.holder)
    assert bench.sweeper._sweeping.absent() == []


def test_an_absent_holder_is_reclaimed_after_the_second_look(bench: Bench) -> None:
    """Two looks without presence and without renewal, then its agent is rung."""
    lease, batch_id = bench.begun("nobody")
    bench.sweeper._watch(100.0)
    bench.store.mailbox.renew_all([(lease, batch_id)])
    bench.sweeper._watch(100.2)  # renewed in between: the count begins anew
    assert bench.bells.rung == []
    bench.sweeper._watch(100.31)
    assert bench.bells.rung == [("ops", "agents")]
    again = bench.store.mailbox.acquire("ops", "agents", "h2", "n2")
    assert isinstance(again, Leased)
    assert [parked.batch_id for parked in again.snapshot.parked] == [batch_id]


def test_a_sweep_rings_what_is_due_once(bench: Bench) -> None:
    """And says how soon the next entry is."""
    bench.wake()
    bench.store.client.hdel(bench.store.keys.agent("agents", "ops")["bell"], "ops")
    bench.store.client.zadd(bench.store.keys.agent("agents", "ops")["look"], {"ops": 1})
    assert 0 < bench.sweeper.run_once() <= 0.1
    bench.sweeper.run_once()
    assert bench.bells.rung == [("ops", "agents")]
