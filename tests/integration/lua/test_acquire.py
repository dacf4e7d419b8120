"""acquire: one holder per agent, a token that grows, and what the policy must know."""

from __future__ import annotations

import pytest

from dispatcher.store.mailbox import Ended, NotLeased
from tests.support.store import AGENT, HOUR_MS, MAIN, POOL, SIDE, T0, Rig, ids

DERIVED = ("bell", "look")  # an attempt clears the announcement and derives again when to look, whatever it answers


def test_leased(rig: Rig) -> None:
    """LEASED: token and holder are recorded, the lease ends by itself unless begin follows, and the snapshot says what waits."""
    rig.wake("c1", session=SIDE)
    rig.now_ms += 5
    rig.wake("c2", "manual")
    rig.wake("c3", session=SIDE)
    leased = rig.leased("h1")
    assert (leased.lease.token, leased.lease.holder) == (rig.now_ms * 1000, "h1")
    assert rig.due_ms() == rig.now_ms + rig.limits.claim_ms
    snapshot = leased.snapshot
    assert (snapshot.now_ms, snapshot.seq, snapshot.starts_ms, snapshot.parked) == (rig.now_ms, 3, (), ())
    assert snapshot.lanes == (("manual", MAIN, T0 + 5, 1, T0 + 5, 2, 0), ("event", SIDE, T0, 2, T0, 1, 0))


def test_lease_held(rig: Rig) -> None:
    """LEASE_HELD: by whom and until when; the holder notices nothing."""
    rig.wake("c1")
    rig.leased("h1")
    with rig.unchanged(*DERIVED):
        answer = rig.acquire("h2")
    assert answer == NotLeased("LEASE_HELD", f"{T0 + rig.limits.claim_ms}/h1")


def test_not_due(rig: Rig) -> None:
    """NOT_DUE: with the time, though what is due later than in an hour is looked at earlier."""
    rig.wake("c1", delay_ms=250)
    with rig.unchanged(*DERIVED):
        assert rig.acquire() == NotLeased("NOT_DUE", str(T0 + 250))


def test_empty(rig: Rig) -> None:
    """EMPTY: of an agent that is unknown as of one that is done."""
    with rig.unchanged():
        assert rig.acquire() == NotLeased("EMPTY")
    rig.settle(*rig.running())
    with rig.unchanged():
        assert rig.acquire() == NotLeased("EMPTY")


def test_foreign(rig: Rig) -> None:
    """FOREIGN: a worker of another pool does not run the agent."""
    rig.wake("c1")
    with rig.unchanged():
        assert rig.acquire(pool="solo") == NotLeased("FOREIGN", POOL)


def test_a_repeated_nonce_gets_the_same_token(rig: Rig) -> None:
    """The reply was lost; and after CHANGED this is how a holder looks again."""
    rig.wake("c1")
    first = rig.leased("h1", "n")
    rig.now_ms += 1000
    rig.wake("c2", "manual")
    again = rig.leased("h1", "n")
    assert again.lease == first.lease
    assert (again.snapshot.seq, len(again.snapshot.lanes)) == (2, 2)
    assert rig.due_ms() == rig.now_ms + rig.limits.claim_ms
    assert rig.acquire("h2", "n") == NotLeased("LEASE_HELD", f"{rig.now_ms + rig.limits.claim_ms}/h1")


def test_after_begin_a_repeated_nonce_gets_nothing(rig: Rig) -> None:
    """A doorbell that is delivered twice must not run the agent twice."""
    rig.wake("c1")
    lease = rig.leased("h1", "n").lease
    rig.begun(lease)
    assert rig.acquire("h1", "n") == NotLeased("LEASE_HELD", f"{T0 + rig.limits.ttl_ms}/h1")


@pytest.mark.parametrize("status", ["LEASED", "LEASE_HELD", "NOT_DUE", "EMPTY"])
def test_any_attempt_clears_the_announcement(rig: Rig, status: str) -> None:
    """Otherwise an agent whose doorbell was answered with a refusal is never rung again."""
    if status != "EMPTY":
        rig.wake("c1", delay_ms=250 if status == "NOT_DUE" else 0)
    if status == "LEASE_HELD":
        rig.leased()
    if status == "EMPTY":
        rig.settle(*rig.running())
    rig.client.hset(rig.key("bell"), AGENT, f"{T0 + 60_000}|60000")
    answer = rig.acquire("h2")
    assert (answer.status if isinstance(answer, NotLeased) else "LEASED") == status
    assert not rig.client.exists(rig.key("bell"))


@pytest.mark.parametrize("held", [True, False])
def test_a_refused_attempt_leaves_the_agent_to_the_next_sweep(rig: Rig, held: bool) -> None:
    """With its announcement goes the pause that came with it: it is looked at when it is due."""
    if held:
        rig.running()
    rig.wake("c2", delay_ms=250)
    until = T0 + (rig.limits.ttl_ms if held else 250)
    rig.client.hset(rig.key("bell"), AGENT, f"{T0 + 60_000}|60000")
    rig.client.zadd(rig.key("look"), {AGENT: T0 + 60_000})
    assert isinstance(rig.acquire("h2"), NotLeased)
    assert rig.sweep() == (until - T0, [])


def test_claimed_and_not_started(rig: Rig) -> None:
    """A claim has a deadline of its own; who comes next gets the work, and a token that is greater."""
    rig.wake("c1")
    first = rig.leased("h1").lease
    rig.now_ms += rig.limits.claim_ms - 1
    assert isinstance(rig.acquire("h2"), NotLeased)
    rig.now_ms += 1
    second = rig.leased("h2").lease
    assert second.token > first.token
    assert ids(rig.begun(second)) == ["c1"]


def test_an_expired_claim_with_nothing_due_is_released(rig: Rig) -> None:
    rig.wake("c1")
    leased = rig.leased("h1")
    rig.now_ms += rig.limits.claim_ms
    rig.client.zadd(rig.key("lane_event"), {MAIN: rig.now_ms + 500})
    assert rig.acquire("h2") == NotLeased("NOT_DUE", str(rig.now_ms + 500))
    status = rig.ledger.agent(AGENT)
    assert status
    assert status.holder is None
    assert rig.mailbox.begin(leased.lease, MAIN, ("event",), 10, 1000) == Ended("STALE_TOKEN")


def test_a_take_over_puts_the_same_batch_back(rig: Rig) -> None:
    """The holder is gone: the same batch, its next attempt, at once, past the cooldown; its target is blocked meanwhile."""
    _, batch = rig.running("c1", "c2")
    rig.wake("c3")
    rig.now_ms += rig.limits.ttl_ms
    leased = rig.leased("h2")
    (parked,) = leased.snapshot.parked
    assert (parked.batch_id, parked.not_before_ms) == (batch.batch_id, rig.now_ms)
    assert (parked.attempt, parked.failures, parked.deliveries) == (1, 0, 1)
    assert parked.bypass is True
    assert leased.snapshot.lanes == ()
    again = rig.resumed(leased.lease, batch.batch_id)
    assert (again.batch_id, again.attempt, again.wakes) == (batch.batch_id, 2, batch.wakes)
    assert len(rig.starts()) == 1
    assert [r["what"] for r in rig.ledger.records(AGENT)] == ["begun", "taken-over", "begun"]


def test_tokens_grow_when_the_clock_steps_back(rig: Rig) -> None:
    rig.wake("c1")
    first = rig.leased("h1").lease
    rig.defer(rig.leased("h1", "n1"), ("event", 0))
    rig.now_ms -= HOUR_MS
    second = rig.leased("h2").lease
    assert second.token == first.token + 1


def test_tokens_grow_when_the_lease_key_is_rolled_back(rig: Rig) -> None:
    """A server that lost its last second of writes must not issue a token twice."""
    rig.wake("c1")
    first = rig.leased("h1").lease
    rig.client.delete(rig.key("lease"))
    rig.client.hdel(rig.key("leases"), AGENT)
    rig.now_ms += 1
    assert rig.leased("h2").lease.token > first.token


def test_slot_time_never_runs_backwards(rig: Rig) -> None:
    rig.wake("c1")
    rig.now_ms += 1000
    lease = rig.leased("h1")
    assert lease.snapshot.now_ms == T0 + 1000
    rig.now_ms -= HOUR_MS
    assert rig.leased("h1", "n1").snapshot.now_ms == T0 + 1000
    rig.now_ms += 300
    assert rig.leased("h1", "n1").snapshot.now_ms == T0 + 1300
    assert rig.client.hget(rig.key("clock"), "offset") == str(HOUR_MS)


def test_slot_time_goes_on_from_where_it_was(rig: Rig) -> None:
    """The same with the server's own clock."""
    rig.now_ms = 0
    rig.wake("c1")
    rig.client.hset(rig.key("clock"), "last", rig.ledger.now_ms() + HOUR_MS)
    first, second = rig.leased("h1", "n"), rig.leased("h1", "n")
    assert rig.ledger.now_ms() + HOUR_MS + 60_000 > second.snapshot.now_ms >= first.snapshot.now_ms > rig.ledger.now_ms() + HOUR_MS - 60_000


@pytest.mark.parametrize("kind", ["parked", "busy"])
def test_however_many_targets_wait_the_next_one_is_seen(rig: Rig, kind: str) -> None:
    """Targets that are blocked take no room in the snapshot: else their agent would be rung and find nothing to do, for ever."""
    for i in range(20):
        lease, batch = rig.running(f"c{i}", session=f"agent:ops:s{i:02}")
        if kind == "parked":
            rig.mailbox.park(lease, batch.batch_id, "failed", 60_000, "boom")
            rig.wake(f"d{i}", session=f"agent:ops:s{i:02}")
        else:
            rig.mailbox.dissolve(lease, batch.batch_id, 0, 60_000, 60_000, "active-run")
    rig.now_ms += 1
    rig.wake("next", session=SIDE)
    assert [lane.session_key for lane in rig.leased().snapshot.lanes] == [SIDE]


def test_a_snapshot_is_bounded(rig: Rig) -> None:
    for i in range(20):
        rig.wake(f"c{i}", session=f"agent:ops:s{i:02}", delay_ms=i)
    rig.now_ms += 100
    assert [lane.session_key for lane in rig.leased().snapshot.lanes] == [f"agent:ops:s{i:02}" for i in range(16)]
