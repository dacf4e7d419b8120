"""cadence: the pending tick of an agent that nobody looks at now is set, changed or taken away."""

from __future__ import annotations

from dispatcher.core.snapshot import Tick
from dispatcher.store.cadences import TickChange, changes_to
from dispatcher.store.mailbox import NotLeased
from dispatcher.store.scripts import Argument, Reply
from tests.support.store import AGENT, HOUR_MS, POOL, T0, Rig

CADENCE = "1800000/0/"
SOON, LATER = Tick(T0 + 60_000, CADENCE), Tick(T0 + 5 * HOUR_MS, CADENCE)


def change(rig: Rig, was: Tick | None, following: Tick | None, pool: str = POOL) -> Reply:
    return rig.cadences.change_all(pool, [TickChange(AGENT, was, following)])[0]


def looks(rig: Rig) -> dict[str, float]:
    return dict(rig.client.zrange(rig.key("look"), 0, -1, withscores=True))


def test_set(rig: Rig) -> None:
    """SET: an idle agent costs one entry in `look` and one in `ticks`, and none in `due`; a tick may lie further ahead than work."""
    assert change(rig, None, LATER) == ("SET", [])
    assert looks(rig) == {AGENT: LATER.next_ms}
    assert rig.due_ms() is None
    assert dict(rig.cadences.pending(POOL)) == {AGENT: LATER}
    assert rig.client.keys(f"*:{AGENT}:*") == []
    assert rig.ledger.home_of(AGENT) is None
    assert rig.acquire() == NotLeased("NOT_DUE", str(LATER.next_ms))
    words: dict[str, Argument] = {"now": rig.now_ms, "agent": AGENT, "pool": POOL, "fix": 1, "ledger_max": 9}
    assert rig.caller.call("mend", rig.keys.agent(POOL, AGENT), **words).status == "SOUND", "it needs no home before its first wake"


def test_changed(rig: Rig) -> None:
    """CHANGED: somebody moved it meanwhile; the answer says to what."""
    change(rig, None, SOON)
    with rig.unchanged():
        assert change(rig, None, LATER) == ("CHANGED", [f"{SOON.next_ms}|{CADENCE}"])
    assert change(rig, SOON, LATER).status == "SET"
    assert looks(rig) == {AGENT: LATER.next_ms}


def test_a_tick_that_is_taken_away_leaves_nothing_but_its_pool(rig: Rig) -> None:
    change(rig, None, SOON)
    assert change(rig, SOON, None).status == "SET"
    assert looks(rig) == {}
    assert rig.acquire() == NotLeased("EMPTY")
    assert {key.rpartition(":")[2] for key in rig.client.scan_iter()} <= {"clock", "pools", "layout", "stream"}


def test_a_homeless_agent_with_a_tick_lies_in_a_known_pool(rig: Rig) -> None:
    """Otherwise a resume of its pool or pattern would not find it."""
    change(rig, None, SOON)
    assert rig.ledger.pools() == [(rig.keys.slot_of(AGENT), POOL)]


def test_moved(rig: Rig) -> None:
    """MOVED: the agent lives elsewhere; but what lies here by mistake may be taken away."""
    rig.wake("c1")
    with rig.unchanged():
        assert change(rig, None, SOON, "solo") == ("MOVED", [POOL, POOL])
    assert change(rig, None, None, "solo").status == "SET"


def test_work_that_is_due_before_is_looked_at_before(rig: Rig) -> None:
    """The look is the earlier of both; the due index shows the work only."""
    rig.wake("c1", delay_ms=30_000)
    change(rig, None, SOON)
    assert looks(rig) == {AGENT: T0 + 30_000}
    assert rig.due_ms() == T0 + 30_000
    rig.wake("c2", "manual", delay_ms=0)
    lease = rig.leased().lease
    rig.settle(lease, rig.begun(lease))
    assert looks(rig) == {AGENT: SOON.next_ms}
    assert rig.due_ms() is None


def test_a_deferral_of_scheduled_wakes_binds_the_tick(rig: Rig) -> None:
    change(rig, None, SOON)
    rig.now_ms = SOON.next_ms
    rig.defer(rig.leased(), ("scheduled", 2 * HOUR_MS))
    assert looks(rig) == {AGENT: SOON.next_ms + 2 * HOUR_MS}


def test_a_clock_that_steps_back_delays_no_look_and_no_tick(rig: Rig) -> None:
    """Slot time stands still, ticks are in real time: the look may be early, the tick comes when the wall says so."""
    rig.wake("c0", delay_ms=HOUR_MS)
    change(rig, None, SOON)
    rig.now_ms = T0 - 2 * HOUR_MS
    assert rig.acquire() == NotLeased("NOT_DUE", str(T0 + HOUR_MS))
    rig.now_ms = SOON.next_ms - 1 - 2 * HOUR_MS
    assert change(rig, SOON, Tick(T0 - HOUR_MS, CADENCE)).status == "SET"
    assert looks(rig) == {AGENT: T0 + HOUR_MS}  # T0 - 1 h on the wall is T0 + 1 h of the slot
    rig.now_ms = T0 - HOUR_MS - 1
    assert isinstance(rig.acquire(), NotLeased)
    rig.now_ms = T0 - HOUR_MS
    shown = rig.leased().snapshot
    assert (shown.now_ms, shown.real_ms, shown.slot_ms(T0 - HOUR_MS)) == (T0 + HOUR_MS, T0 - HOUR_MS, T0 + HOUR_MS)


def test_many_ticks_in_one_call(rig: Rig) -> None:
    """What the configuration wants against what is pending: only differences are written."""
    wanted = {f"a{n}": Tick(T0 + n, CADENCE) for n in range(5)} | {"gone": None, "kept": SOON}
    pending = {"gone": SOON, "kept": SOON}
    rig.cadences.change_all(POOL, changes_to(pending, {}))
    changes = changes_to(wanted, dict(rig.cadences.pending(POOL)))
    assert {one.agent_id for one in changes} == {"a0", "a1", "a2", "a3", "a4", "gone"}
    assert {reply.status for reply in rig.cadences.change_all(POOL, changes)} == {"SET"}
    assert dict(rig.cadences.pending(POOL)) == {agent: tick for agent, tick in wanted.items() if tick}
