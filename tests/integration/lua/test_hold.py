"""hold: an operator pauses, drains or resumes; from the answer on it holds, and what was deferred is decided afresh."""

from __future__ import annotations

import json

from dispatcher.core.policy import BuryParked, BuryTarget, Defer, RunParked, RunTarget, decide
from dispatcher.core.rules import DRAINING, PAUSED, Rules
from dispatcher.core.snapshot import Hold, Tick
from dispatcher.store.cadences import TickChange
from dispatcher.store.mailbox import Begun, NotLeased
from tests.support.store import AGENT, HOUR_MS, LIMIT_MS, MAIN, POOL, SIDE, T0, Rig

BY = "ann@vm"


def hold(selector: str = AGENT, what: str = PAUSED, until_ms: int = 0) -> Hold:
    return Hold(selector, what, "deploy", BY, T0, until_ms)


def step(rig: Rig, of: Hold | None, selector: str = "") -> tuple[str, list[int]]:
    said = json.dumps({"what": of.what, "reason": of.reason, "by": BY, "since": T0, "until": of.until_ms}) if of else ""
    drain = int(bool(of and of.what == DRAINING))
    return rig.step("hold", now=rig.now_ms, agent=AGENT, hold=said, by=BY, selector=selector, drain=drain, ledger_max=100)


def defer_as_decided(rig: Rig) -> Defer:
    """What a worker does with a decision to wait."""
    leased = rig.leased()
    decision = decide(leased.snapshot, Rules(min_spacing_ms=0))
    assert isinstance(decision, Defer), decision
    assert rig.mailbox.defer(leased.lease, leased.snapshot.seq, decision.deferrals).status == "DEFERRED"
    return decision


def test_held(rig: Rig) -> None:
    """HELD: it stands beside the agent, with a receipt of who; what is due is rung, so that a worker notes that it waits."""
    assert step(rig, hold()) == ("HELD", [0])
    rig.wake("c1")
    assert step(rig, hold()) == ("HELD", [1])
    assert rig.leased().snapshot.holds == (hold(),)
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]["by"], record["detail"]["selector"]) == ("held", BY, AGENT)
    assert json.loads(record["detail"]["hold"])["reason"] == "deploy"


def test_resumed(rig: Rig) -> None:
    """RESUMED: everything that the pause deferred is due again at once, a person's wake as well, and rung."""
    rig.wake("c1")
    rig.wake("c2", "manual")
    step(rig, hold())
    defer_as_decided(rig)
    assert rig.acquire() == NotLeased("NOT_DUE", str(T0 + HOUR_MS))
    rig.now_ms += 60_000
    assert step(rig, None) == ("RESUMED", [1])
    assert isinstance(decide(rig.leased().snapshot, Rules()), RunTarget)
    assert rig.ledger.records(AGENT)[-1]["what"] == "resumed"
    assert rig.holds.all() == []


def test_rethought(rig: Rig) -> None:
    """RETHOUGHT: a hold of a pattern or a pool changed, which lies elsewhere; the agent's own stays as it was."""
    rig.wake("c1")
    step(rig, hold())
    defer_as_decided(rig)
    with rig.unchanged("ledger", "state", "due", "look", "bell"):
        assert step(rig, None, "lab-*") == ("RETHOUGHT", [1])
    assert rig.ledger.records(AGENT)[-1]["detail"]["selector"] == "lab-*"
    assert rig.leased().snapshot.holds == (hold(),)


def test_a_retry_that_was_deferred_is_due_again_and_one_in_its_backoff_is_not(rig: Rig) -> None:
    """The pause took nothing off the backoff, and adds nothing to it."""
    first = rig.parked("c1", delay_ms=0)
    rig.parked("c2", session=SIDE, delay_ms=30_000)
    step(rig, hold())
    defer_as_decided(rig)
    rig.now_ms += 1_000
    step(rig, None)
    parked = {batch: int(at) for batch, at in rig.client.zrange(rig.key("parked"), 0, -1, withscores=True)}
    assert parked == {first.batch_id: rig.now_ms} | {batch: T0 + 30_000 for batch in parked if batch != first.batch_id}
    assert decide(rig.leased().snapshot, Rules(min_spacing_ms=0)) == RunParked(first.batch_id)


def test_draining_sets_aside_what_waits_for_later_too(rig: Rig) -> None:
    """A retry in its backoff, a rider that would go in a day, a wake in its window: one after the other, until nothing is left."""
    batch = rig.parked("c1", delay_ms=600_000)
    rig.wake("c2", "rider", SIDE, delay_ms=24 * HOUR_MS)
    rig.wake("c3", session="agent:ops:third", delay_ms=250)
    assert step(rig, hold(what=DRAINING)) == ("HELD", [1])
    leased = rig.leased()
    assert decide(leased.snapshot, Rules()) == BuryParked(batch.batch_id, "drained")
    assert rig.mailbox.bury(leased.lease, batch.batch_id, "drained", "").ring
    for _ in range(2):
        leased = rig.leased()
        decision = decide(leased.snapshot, Rules())
        assert isinstance(decision, BuryTarget)
        begun = rig.mailbox.begin(leased.lease, decision.session_key, decision.intents, 5000, LIMIT_MS, counts=False)
        assert isinstance(begun, Begun)
        rig.mailbox.bury(leased.lease, begun.batch.batch_id, "drained", "")
    assert {letter.completion_id: letter.reason for letter in rig.ledger.dead_letters()} == dict.fromkeys(("c1", "c2", "c3"), "drained")
    assert rig.acquire() == NotLeased("EMPTY")
    assert len(rig.starts()) == 1, "only the attempt that failed was a start"


def test_what_comes_while_draining_waits_for_no_tick(rig: Rig) -> None:
    """A tick that is due defers the cadence, nothing else: else what comes would wait for an hour to be set aside."""
    rig.cadences.change_all(POOL, [TickChange(AGENT, None, Tick(T0, "60000/0/"))])
    step(rig, hold(what=DRAINING))
    assert [deferral.kind for deferral in defer_as_decided(rig).deferrals] == ["scheduled"]
    rig.wake("c1")
    assert isinstance(decide(rig.leased().snapshot, Rules()), BuryTarget)


def test_a_running_heartbeat_is_left_alone(rig: Rig) -> None:
    """It may finish; nobody is rung meanwhile."""
    lease, batch = rig.running()
    assert step(rig, hold(what=DRAINING)) == ("HELD", [0])
    assert rig.settle(lease, batch).status == "SETTLED"


def test_a_hold_with_an_end_ends_by_itself(rig: Rig) -> None:
    """The due index looks then, without anybody's doing."""
    rig.wake("c1")
    step(rig, hold(until_ms=T0 + 90_000))
    assert {deferral.until_ms for deferral in defer_as_decided(rig).deferrals} == {T0 + 90_000}
    assert rig.due_ms() == T0 + 90_000
    rig.now_ms += 90_000
    assert rig.sweep()[1] == [AGENT]
    assert decide(rig.leased().snapshot, Rules()) == RunTarget(MAIN, ("manual", "immediate", "event", "scheduled", "deep", "rider"))


def test_lapsed(rig: Rig) -> None:
    """LAPSED: holds whose time is over are forgotten in their slot, at their very end; the others stay."""
    step(rig, hold(until_ms=T0 + 90_000))
    for selector, until_ms in (("lab-*", T0 + 90_001), ("pool:quiet", 0), ("pool:agents", T0 + 1)):
        rig.holds.put_wide(selector, hold(selector, until_ms=until_ms), BY)
    slot = rig.keys.slot(rig.keys.slot_of(AGENT))
    assert rig.caller.call("lapse", slot, now=T0) == ("LAPSED", [0])
    assert rig.caller.call("lapse", slot, now=T0 + 90_000) == ("LAPSED", [2])
    assert rig.client.hgetall(slot["holds"]) == {}
    assert sorted(rig.client.hkeys(slot["wide_holds"])) == ["lab-*", "pool:quiet"]


def test_a_wide_hold_binds_all_its_agents_and_those_to_come(rig: Rig) -> None:
    """By pattern or pool, in every slot; resuming it rings just those that it held back."""
    agents = ["lab-1", "lab-2", "ops"]
    for agent in agents:
        rig.wake(f"c-{agent}", session=f"agent:{agent}:main")
    assert sorted(rig.holds.put_wide("lab-*", hold("lab-*"), BY)) == [("lab-1", POOL), ("lab-2", POOL)]
    rig.wake("c-lab-3", session="agent:lab-3:main")
    for agent in ("lab-1", "lab-2", "lab-3", "ops"):
        leased = rig.mailbox.acquire(agent, POOL, "h1", "n")
        assert not isinstance(leased, NotLeased)
        decision = decide(leased.snapshot, Rules())
        assert isinstance(decision, Defer) == (agent != "ops")
        deferrals = decision.deferrals if isinstance(decision, Defer) else ()
        rig.mailbox.defer(leased.lease, leased.snapshot.seq, deferrals)
    assert rig.holds.all() == [hold("lab-*")]
    assert [found.selector for found in rig.holds.of("lab-9", POOL)] == ["lab-*"]
    assert sorted(rig.holds.put_wide("lab-*", None, BY)) == [(f"lab-{n}", POOL) for n in (1, 2, 3)]
    assert rig.holds.all() == []
    assert [found["what"] for found in rig.ledger.records("lab-1")] == ["held", "deferred", "resumed"]


def test_a_wide_hold_means_agents_that_only_have_a_cadence_too(rig: Rig) -> None:
    """One that ticked while its pool was paused was deferred for an hour; resuming the pool looks at it now."""
    rig.cadences.change_all(POOL, [TickChange(AGENT, None, Tick(T0, "60000/0/"))])
    rig.holds.put_wide("pool:agents", hold("pool:agents"), BY)
    defer_as_decided(rig)
    assert isinstance(rig.acquire(), NotLeased)
    rig.now_ms += 1
    assert rig.holds.put_wide("pool:agents", None, BY) == [(AGENT, POOL)]
    rig.leased()
