"""inspect: what the policy would decide on, who holds the agent, and all that waits; nothing is written."""

from __future__ import annotations

from dispatcher.core.inspected import BatchSeen, Block, Held, Inspected
from dispatcher.core.snapshot import Deferral, Hold, Tick
from dispatcher.store.cadences import TickChange
from dispatcher.store.mailbox import Leased
from tests.support.store import AGENT, HOUR_MS, MAIN, POOL, SIDE, T0, Rig


def inspect(rig: Rig, agent_id: str = AGENT, pool: str = POOL) -> Inspected:
    with rig.unchanged():
        clock = rig.client.hgetall(rig.key("clock"))
        found = rig.inspection.inspect(agent_id, pool)
        assert rig.client.hgetall(rig.key("clock")) == clock, "not even the time of the slot moves"
    assert found
    return found


def test_unknown(rig: Rig) -> None:
    """UNKNOWN: it never had a wake or a tick."""
    with rig.unchanged():
        assert rig.step("inspect", now=T0, agent=AGENT) == ("UNKNOWN", [])
        assert rig.inspection.inspect(AGENT, POOL) is None


def test_inspected(rig: Rig) -> None:
    """INSPECTED: the same snapshot that a worker would get, while nobody holds the agent."""
    rig.wake("c1", delay_ms=250)
    rig.now_ms += 1_000
    rig.wake("c2", "manual", SIDE)
    assert rig.step("inspect", now=rig.now_ms, agent=AGENT).status == "INSPECTED"
    found = inspect(rig)
    assert (found.agent_id, found.pool, found.held, found.running) == (AGENT, POOL, None, None)
    assert (found.waiting, found.oldest_at_ms, found.dead, found.heartbeats) == (2, T0, 0, 0)
    assert found.snapshot == rig.leased().snapshot


def test_who_holds_it_and_what_runs(rig: Rig) -> None:
    """A claim first, then the batch; what runs does not wait."""
    rig.wake("c1")
    lease = rig.leased("h1").lease
    assert inspect(rig).held == Held("h1", lease.token, T0 + rig.limits.claim_ms, "")
    batch = rig.begun(lease)
    rig.wake("c2")
    found = inspect(rig)
    assert found.held == Held("h1", lease.token, T0 + rig.limits.ttl_ms, batch.batch_id)
    assert found.running == BatchSeen(batch.batch_id, MAIN, 1, 1, 0, T0, 0, "", ())
    assert (found.waiting, found.heartbeats) == (1, 1)


def test_parked_batches_and_what_they_wait_for(rig: Rig) -> None:
    """With the words of the last failure, and the reason of a deferral; the oldest of what waits is in the batch."""
    batch = rig.parked("c1", "c2", delay_ms=2_000)
    rig.now_ms += 2_000
    rig.wake("c3", session=SIDE)
    found = inspect(rig)
    assert found.parked == (BatchSeen(batch.batch_id, MAIN, 2, 1, 1, T0, T0 + 2_000, "", ("boom",)),)
    assert found.blocks == (Block(MAIN, batch.batch_id, 0, 0, "parked"),)
    assert (found.waiting, found.oldest_at_ms) == (3, T0)
    rig.defer(rig.leased(), (f"batch:{batch.batch_id}", 9_000), ("event", 9_000))
    found = inspect(rig)
    assert (found.parked[0].not_before_ms, found.parked[0].deferred) == (rig.now_ms + 9_000, "why")
    assert found.deferrals == (Deferral("event", rig.now_ms + 9_000, "why"),)


def test_a_busy_session_is_seen_although_the_policy_does_not_see_it(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.mailbox.dissolve(lease, batch.batch_id, 1_000, 1_000, 4_000, "requests-in-flight")
    found = inspect(rig)
    assert found.blocks == (Block(MAIN, "", T0 + 1_000, T0 + 4_000, "requests-in-flight"),)
    assert (found.snapshot.lanes, found.waiting, found.oldest_at_ms) == ((), 1, T0)


def test_holds_ticks_and_dead_letters(rig: Rig) -> None:
    rig.buried("c1", "c2")
    tick, wide = Tick(T0 + HOUR_MS, "3600000/0/"), Hold("pool:agents", "paused", "x", "ann@vm", T0, 0)
    rig.cadences.change_all(POOL, [TickChange(AGENT, None, tick)])
    rig.holds.put_wide("pool:agents", wide, "ann@vm")
    found = inspect(rig)
    assert (found.dead, found.snapshot.tick, found.snapshot.holds, found.waiting, found.oldest_at_ms) == (2, tick, (wide,), 0, 0)


def test_an_agent_that_only_has_a_cadence(rig: Rig) -> None:
    tick = Tick(T0 + HOUR_MS, "3600000/0/")
    rig.cadences.change_all(POOL, [TickChange("solo", None, tick)])
    assert inspect(rig, "solo").snapshot.tick == tick


def test_it_is_found_where_it_lives(rig: Rig) -> None:
    """Whatever pool the caller had in mind."""
    rig.wake("c1")
    rig.mailbox.move(AGENT, POOL, "research", "research")
    found = inspect(rig)
    assert (found.pool, found.waiting) == ("research", 1)


def test_a_slot_whose_clock_stood_still(rig: Rig) -> None:
    """Slot time never runs backwards, and real time is told beside it."""
    rig.wake("c1")
    rig.now_ms = T0 - HOUR_MS
    found = inspect(rig)
    assert (found.snapshot.now_ms, found.snapshot.real_ms, found.real_ms(T0 + 5)) == (T0, T0 - HOUR_MS, T0 - HOUR_MS + 5)


def test_what_heartbeats_caused_and_which_were_avoidable(rig: Rig) -> None:
    """Summed over slots, per pool; what was busy never took place."""
    sent = {"lab-1": "not-acted", "lab-2": "precheck", "ops": "", "lab-3": "precheck"}
    for agent, word in sent.items():
        rig.wake(f"c-{agent}", session=f"agent:{agent}:main")
        leased = rig.mailbox.acquire(agent, POOL, "h1", "n")
        assert isinstance(leased, Leased)
        batch = rig.begun(leased.lease, f"agent:{agent}:main")
        rig.mailbox.settle(leased.lease, batch.batch_id, "skipped" if word == "precheck" else "ran", {}, word)
    rig.parked("f1")
    assert rig.inspection.turns() == {POOL: {"heartbeats": 5, "avoidable:not-acted": 1, "avoidable:precheck": 2}}
    entry = rig.submitted("c9")
    rig.put(entry)
    rig.inbox.acknowledge([(entry, AGENT, "session-key")], {entry.entry: AGENT})
    assert rig.inspection.caused_by(["lab-1", AGENT]) == [0, 1]
    assert rig.inspection.caused_by([]) == []
