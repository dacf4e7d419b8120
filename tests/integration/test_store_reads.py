"""The record of the layout, the bindings, and reads that are no step's."""

from __future__ import annotations

import pytest
import redis

from dispatcher.config import Config
from dispatcher.config.sections import RedisSettings, SweepSettings
from dispatcher.core.errors import InvalidAddress, LayoutMismatch, StoreUnavailable
from dispatcher.store.bindings import Bindings
from dispatcher.store.connect import connect
from dispatcher.store.holds import Holds
from dispatcher.store.keys import Keys
from dispatcher.store.layout import check_layout
from dispatcher.store.opened import limits_of
from dispatcher.store.scripts import Caller
from tests.support.server import Server
from tests.support.store import AGENT, MAIN, POOL, SIDE, T0, Rig, submission


@pytest.fixture
def rig(redis_client: redis.Redis) -> Rig:
    return Rig(redis_client)


def test_a_store_is_laid_out_once(redis_client: redis.Redis) -> None:
    for _ in range(2):
        check_layout(redis_client, Keys("wake", 64))
    assert redis_client.hgetall("wake:{inbox}:layout") == {"layout": "1", "slots": "64", "prefix": "wake"}


def test_who_disagrees_refuses_to_start(redis_client: redis.Redis) -> None:
    """With another number of slots every agent would have two mailboxes."""
    check_layout(redis_client, Keys("wake", 64))
    with pytest.raises(LayoutMismatch, match=r"'wake'.*slots is 64 there and 32 here"):
        check_layout(redis_client, Keys("wake", 32))
    assert redis_client.hget("wake:{inbox}:layout", "slots") == "64"
    check_layout(redis_client, Keys("another", 32))


def test_a_store_of_another_release_is_not_touched(redis_client: redis.Redis) -> None:
    check_layout(redis_client, Keys("wake", 64))
    redis_client.hset("wake:{inbox}:layout", "layout", "2")
    with pytest.raises(LayoutMismatch, match="layout is 2 there and 1 here"):
        check_layout(redis_client, Keys("wake", 64))


def test_a_binding_ties_one_key_to_one_agent(rig: Rig) -> None:
    bindings = Bindings(rig.client, rig.keys, {"node-mac": "configured", "node-pi": "pi"})
    bindings.bind("node-mac", "Research")
    assert bindings.all() == {"node-mac": "research", "node-pi": "pi"}
    assert bindings.unbind("node-mac") is True
    assert bindings.unbind("node-mac") is False
    assert bindings.unbind("node-pi") is False
    assert bindings.all() == {"node-mac": "configured", "node-pi": "pi"}


@pytest.mark.parametrize("key", [MAIN, "agent:", "AGENT:ops:main", "", "  ", "node\x07mac", "node\x85mac", "ä" * 257])
def test_a_key_that_the_configuration_could_not_bind_is_not_bound(rig: Rig, key: str) -> None:
    with rig.unchanged(), pytest.raises(InvalidAddress) as refused:
        Bindings(rig.client, rig.keys, {}).bind(key, "ops")
    assert refused.value.reason == "malformed-key"


@pytest.mark.parametrize("agent_id", ["", "*", "a b", "-x", "x" * 65])
def test_nothing_but_one_agent_is_bound_to(rig: Rig, agent_id: str) -> None:
    with rig.unchanged(), pytest.raises(InvalidAddress) as refused:
        Bindings(rig.client, rig.keys, {}).bind("node-mac", agent_id)
    assert refused.value.reason == "unknown-agent"


def test_an_empty_store(redis_client: redis.Redis) -> None:
    rig = Rig(redis_client)
    assert rig.ledger.where("c1") is None
    assert rig.ledger.agent(AGENT) is None
    assert rig.ledger.home_of(AGENT) is None
    assert rig.ledger.dead_letter("c1") is None
    assert rig.ledger.records(AGENT) == []
    assert (list(rig.ledger.agents()), list(rig.ledger.dead_letters()), rig.ledger.inbox_depth()) == ([], [], 0)
    assert rig.ledger.balance().balance == 0


def test_before_the_first_router_the_books_balance(redis_client: redis.Redis) -> None:
    """A producer may be there long before, and an operator may ask."""
    rig = Rig(redis_client)
    redis_client.delete(rig.keys.inbox["stream"])
    rig.inbox.submit(submission("c1"))
    balance = rig.ledger.balance()
    assert (balance.accepted, balance.unrouted, balance.balance) == (1, 1, 0)


def test_who_has_work_is_listed(rig: Rig) -> None:
    rig.wake("c1", session="agent:other:main", delay_ms=250)
    batch = rig.parked("c2", delay_ms=60_000)
    lease, running = rig.running("c3", session=SIDE)
    rig.wake("c4", session=SIDE)
    other, ops = sorted(rig.ledger.agents(), key=lambda status: -len(status.agent_id))
    assert (other.agent_id, other.pool, other.pending, other.running, other.due_at_ms) == ("other", POOL, 1, None, T0 + 250)
    assert (ops.agent_id, ops.pending, ops.parked, ops.running) == (AGENT, 1, 1, running.batch_id)
    assert (ops.token, ops.holder, ops.due_at_ms) == (lease.token, "h1", T0 + rig.limits.ttl_ms)
    assert batch.batch_id != running.batch_id
    assert rig.ledger.agent(AGENT) == ops


def test_the_ledger_is_bounded_and_in_order(rig: Rig) -> None:
    small = rig.limited(ledger_max=1)
    for i in range(300):
        small.defer(small.leased(), ("event", 0)) if i else small.wake("c1")
    assert rig.client.xlen(rig.key("ledger")) < 250
    rig.settle(*rig.running("c2"))
    assert [r["what"] for r in rig.ledger.records(AGENT)][-2:] == ["begun", "ran"]
    assert rig.ledger.records(AGENT, newest=1)[0]["what"] == "ran"


def test_a_forgotten_fate_leaves_the_owner(rig: Rig) -> None:
    rig.settle(*rig.running("c1"))
    rig.client.delete(rig.key("fates"))
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.agent_id, where.at_ms) == ("routed", AGENT, None)


def test_who_cannot_decide_afresh_is_not_told_of_a_hold(rig: Rig) -> None:
    """Nobody asked to hold anything: the message names what was tried."""
    rig.wake("c1", delay_ms=60_000)
    with Server() as server:
        gone = connect(server.url, RedisSettings())
    with pytest.raises(StoreUnavailable, match=f"^decide afresh what waits in pool={POOL}: "):
        Holds(rig.client, Caller(gone), rig.keys, rig.limits).rethink(POOL, -rig.now_ms)


def test_a_young_server_is_not_taken_for_an_older_one() -> None:
    """The server tells its age in whole seconds."""
    ages = [limits_of(Config(sweep=SweepSettings(young_server_ms=ms))).min_uptime_s for ms in (0, 1, 1_000, 1_500, 10_000)]
    assert ages == [0, 1, 1, 2, 10]


def test_all_agents_are_read_in_pages(rig: Rig) -> None:
    """Not in a round trip for each: the server reads from its connections a few times per slot at most."""
    pipe = rig.client.pipeline(transaction=False)
    for agent_id in (names := [f"a{n}" for n in range(2_000)]):
        key = rig.keys.agent("agents", agent_id)
        pipe.sadd(key["pools"], "agents")
        pipe.zadd(key["due"], {agent_id: 7})
        pipe.zadd(key["mailbox"], {f"event\x1f{agent_id}": 0})
    pipe.execute()
    before = rig.client.info("stats")["total_reads_processed"]
    found = list(rig.ledger.agents())
    reads = rig.client.info("stats")["total_reads_processed"] - before
    assert sorted(one.agent_id for one in found) == sorted(names)
    assert {(one.pending, one.due_at_ms) for one in found} == {(1, 7)}
    assert reads < 1_000
