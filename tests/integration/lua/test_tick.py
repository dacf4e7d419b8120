"""tick: the cadence moves on under the lease, and what was due waits as one wake."""

from __future__ import annotations

import pytest

from dispatcher.core.models import Lease
from dispatcher.core.snapshot import Tick
from dispatcher.heartbeat import tick_wake
from dispatcher.store.cadences import NotTicked, TickChange, Ticked
from dispatcher.store.mailbox import Leased, NotLeased
from tests.support.store import AGENT, HOUR_MS, MAIN, POOL, T0, Rig, ids

CADENCE = "1800000/0/"
DUE, NEXT = Tick(T0, CADENCE), Tick(T0 + 6 * HOUR_MS, CADENCE)
TICK_ID = f"tick:{AGENT}:{T0}"


def ticking(rig: Rig) -> Leased:
    """An agent whose tick is due, under a lease."""
    assert rig.cadences.change_all(POOL, [TickChange(AGENT, None, DUE)])[0].status == "SET"
    return rig.leased(nonce="n")


def move_on(rig: Rig, lease: Lease, following: Tick | None = NEXT, *, deposit: bool = True) -> Ticked | NotTicked:
    wake = tick_wake(AGENT, MAIN, DUE.next_ms, rig.now_ms) if deposit else None
    return rig.cadences.move_on(lease, TickChange(AGENT, DUE, following), wake, MAIN, POOL, "due")


def look_ms(rig: Rig) -> float | None:
    found: float | None = rig.client.zscore(rig.key("look"), AGENT)
    return found


def test_ticked(rig: Rig) -> None:
    """TICKED: one wake of the main session, due since the tick was, and the next tick; the books know it without an inbox entry."""
    ticking(rig)
    rig.now_ms += 3 * HOUR_MS
    lease = rig.leased("h2", "n2").lease
    moved = move_on(rig, lease)
    assert isinstance(moved, Ticked)
    assert moved.deposited
    assert rig.waiting() == [TICK_ID]
    shown = rig.leased("h2", "n2").snapshot
    assert moved.snapshot == shown, "the holder decides again on what acquire would tell it"
    assert [(lane.intent, lane.session_key, lane.due_ms, lane.waiting) for lane in shown.lanes] == [("scheduled", MAIN, T0, 1)]
    assert (shown.tick, shown.due_ms) == (NEXT, T0)
    balance = rig.ledger.balance()
    assert (balance.accepted, balance.pending, balance.balance) == (1, 1, 0)
    assert rig.ledger.home_of(AGENT) == (POOL, POOL)
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]["why"], record["detail"]["deposited"]) == ("ticked", "due", True)


def test_the_fates_of_a_tick(rig: Rig) -> None:
    """Found by its id, which names the agent: pending, running; once it is settled only the books know it, as before it was."""
    assert rig.ledger.where(TICK_ID) is None
    lease = ticking(rig).lease
    move_on(rig, lease)
    assert rig.fate(TICK_ID) == "pending"
    batch = rig.begun(lease)
    assert ids(batch) == [TICK_ID]
    where = rig.ledger.where(TICK_ID)
    assert where
    assert (where.fate, where.agent_id, where.pool, where.accepted_at_ms, where.detail) == ("running", AGENT, POOL, T0, batch.batch_id)
    rig.settle(lease, batch)
    assert (rig.fate(TICK_ID), rig.ledger.balance().settled) == ("unknown", 1)
    assert (rig.due_ms(), look_ms(rig)) == (None, NEXT.next_ms)


@pytest.mark.parametrize(
    "unknown", ["tick:", "tick:ops", "tick:ops:", "tick:ops:x", "tick:no id:1", "tick::1", "tack:ops:1", "tick:nobody:1"]
)
def test_what_only_looks_like_a_tick_is_unknown(rig: Rig, unknown: str) -> None:
    assert rig.ledger.where(unknown) is None


def test_a_dead_tick_is_revived_like_any_other_dead_letter(rig: Rig) -> None:
    lease = ticking(rig).lease
    move_on(rig, lease)
    assert rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "boom").status == "BURIED"
    assert rig.fate(TICK_ID) == "dead"
    assert rig.mailbox.revive(AGENT, POOL, TICK_ID).status == "REVIVED"
    lease = rig.leased().lease
    rig.settle(lease, rig.begun(lease))
    assert (rig.fate(TICK_ID), rig.ledger.balance().settled) == ("unknown", 1)


def test_a_tick_outside_its_hours_moves_on_and_deposits_nothing(rig: Rig) -> None:
    leased = ticking(rig)
    moved = move_on(rig, leased.lease, deposit=False)
    assert isinstance(moved, Ticked)
    assert (moved.deposited, moved.snapshot) == (False, rig.leased(nonce="n").snapshot)
    assert (rig.waiting(), rig.ledger.balance().accepted) == ([], 0)
    assert rig.defer(leased).ring is False
    assert (rig.due_ms(), look_ms(rig)) == (None, NEXT.next_ms)


def test_the_last_tick_of_a_cadence_leaves_none(rig: Rig) -> None:
    leased = ticking(rig)
    move_on(rig, leased.lease, None, deposit=False)
    rig.defer(leased)
    assert (dict(rig.cadences.pending(POOL)), look_ms(rig)) == ({}, None)


def test_a_tick_joins_a_scheduled_wake_that_still_waits(rig: Rig) -> None:
    """However many were missed, it is one heartbeat."""
    rig.wake("c1", "scheduled")
    lease = ticking(rig).lease
    moved = move_on(rig, lease)
    assert isinstance(moved, Ticked)
    assert not moved.deposited
    assert rig.waiting() == ["c1"]
    assert rig.ledger.balance().accepted == 1


def test_a_tick_joins_a_full_mailbox(rig: Rig) -> None:
    """It tells nothing but that it is time, and the agent has work."""
    rig = rig.limited(max_mailbox=1)
    rig.wake("c1")
    lease = ticking(rig).lease
    moved = move_on(rig, lease)
    assert isinstance(moved, Ticked)
    assert not moved.deposited
    assert rig.waiting() == ["c1"]


def test_changed(rig: Rig) -> None:
    """CHANGED: the reply of this step was lost, or the configuration changed meanwhile; nothing is deposited twice."""
    lease = ticking(rig).lease
    move_on(rig, lease)
    with rig.unchanged():
        assert move_on(rig, lease) == NotTicked("CHANGED", f"{NEXT.next_ms}|{CADENCE}")


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: a late holder moves no cadence."""
    old = ticking(rig).lease
    rig.now_ms += rig.limits.claim_ms
    new = rig.leased("h2").lease
    with rig.unchanged():
        assert move_on(rig, old) == NotTicked("STALE_TOKEN", str(new.token))


def test_a_cadence_may_change_under_a_lease(rig: Rig) -> None:
    """A reload sets the tick of an agent that is held, and the next look is at it."""
    leased = ticking(rig)
    assert rig.cadences.change_all(POOL, [TickChange(AGENT, DUE, NEXT)])[0].status == "SET"
    rig.defer(leased)
    assert look_ms(rig) == NEXT.next_ms


def test_move_takes_the_tick_along(rig: Rig) -> None:
    """Of an agent with work, and of one that only has a cadence."""
    rig.cadences.change_all(POOL, [TickChange(AGENT, None, NEXT)])
    assert rig.mailbox.move(AGENT, POOL, "solo", "solo") == "MOVED"
    assert (dict(rig.cadences.pending(POOL)), dict(rig.cadences.pending("solo"))) == ({}, {AGENT: NEXT})
    assert (look_ms(rig), rig.client.zscore(rig.key("look", "solo"), AGENT)) == (None, NEXT.next_ms)
    rig.wake("c1", pool="solo", configured="solo")
    assert rig.mailbox.move(AGENT, "solo", POOL, POOL) == "MOVED"
    assert (dict(rig.cadences.pending(POOL)), rig.due_ms(), look_ms(rig)) == ({AGENT: NEXT}, T0, T0)


def test_a_tick_is_rung_when_it_is_due_and_again_when_nobody_answers(rig: Rig) -> None:
    """Like work."""
    rig.cadences.change_all(POOL, [TickChange(AGENT, None, Tick(T0 + 1, CADENCE))])
    assert rig.sweep() == (1, [])
    rig.now_ms += 1
    assert rig.sweep() == (2000, [AGENT])
    assert rig.sweep() == (2000, [])


def test_a_tick_that_is_taken_away_under_the_lease_leaves_no_lease_behind(rig: Rig) -> None:
    """The agent never had a wake, so nothing but the lease says that it is there; the holder asks again, and so does the next one."""
    lease = ticking(rig).lease
    assert rig.cadences.change_all(POOL, [TickChange(AGENT, DUE, None)])[0].status == "SET"
    other = rig.acquire("h2")
    assert isinstance(other, NotLeased)
    assert other.status == "LEASE_HELD"
    rig.now_ms += rig.limits.claim_ms
    late = rig.acquire("h2")
    assert isinstance(late, NotLeased)
    assert late.status == "EMPTY"
    assert rig.due_ms() is None
    assert rig.mailbox.renew_all([(lease, "none")]) == ["STALE_TOKEN"]
