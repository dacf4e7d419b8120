"""What is unsound of one agent costs the others nothing: in routing, sweeping, renewing, watching and trimming."""

from __future__ import annotations

import time

from dispatcher.core.models import Ran
from dispatcher.store.mailbox import Begun, Leased
from tests.support.desk import Desk
from tests.support.shift import Scripted, Shift
from workers.runners import Control, Signal


def unsound(desk: Desk, name: str, agent_id: str = "research") -> str:
    """Makes a key of the agent one of another type, as a slip of a hand would."""
    key = desk.store.keys.agent("agents", agent_id)[name]
    desk.store.client.delete(key)
    desk.store.client.set(key, "slipped")
    return key


def test_an_entry_for_an_unsound_mailbox_stays_and_the_others_go_on(desk: Desk) -> None:
    runner = Scripted(Ran())
    shift = Shift(desk, ops=runner)
    key = unsound(desk, "fates")
    desk.submit(completion_id="bad", session_key="agent:research:main")
    desk.submit(completion_id="good", session_key="agent:ops:main")
    shift.router.drain_inbox()
    try:
        assert shift.beat() == "ran"
        assert runner.ids() == [("good",)]
        assert desk.fate("good") == ("settled", "ops")
        assert desk.store.ledger.inbox_depth() == 1
    finally:
        desk.store.client.delete(key)
    desk.taken_over(shift.router)
    assert desk.store.ledger.inbox_depth() == 0


def test_a_slot_that_cannot_be_swept_does_not_silence_the_others(desk: Desk) -> None:
    shift = Shift(desk, ops=Scripted())
    shift.came("c1")
    shift.came("c2", agent_id="research")
    for agent_id in ("ops", "research"):  # their doorbells were lost
        desk.store.client.delete(desk.store.keys.agent("agents", agent_id)["bell"])
        desk.store.client.zadd(desk.store.keys.agent("agents", agent_id)["look"], {agent_id: 1})
    key = unsound(desk, "bell")
    try:
        assert shift.rung() == ["ops"]
    finally:
        desk.store.client.delete(key)


def test_a_lease_that_cannot_be_renewed_costs_no_other_lease(desk: Desk) -> None:
    """And is itself trusted no longer than the last renewal allows."""
    shift = Shift(desk)
    held = {}
    started = time.monotonic()
    for agent_id in ("ops", "research"):
        shift.came(f"{agent_id}-1", agent_id=agent_id)
        leased = desk.store.mailbox.acquire(agent_id, "agents", "h1", "n1")
        assert isinstance(leased, Leased)
        begun = desk.store.mailbox.begin(leased.lease, f"agent:{agent_id}:main", ["event"], 10, 60_000)
        assert isinstance(begun, Begun)
        held[agent_id] = shift.keeper.hold(leased.lease, begun.batch.batch_id, Control(60.0, stop=Signal(), trust_ms=28_000), started)
    lease = desk.store.keys.agent("agents", "research")["lease"]
    desk.store.client.rename(lease, "aside")
    unsound(desk, "lease")
    try:
        shift.keeper.run_once()
    finally:
        desk.store.client.rename("aside", lease)
    assert held["ops"].trusted_until > started + 28
    assert held["research"].trusted_until == started + 28
    assert not held["research"].control.lost.is_set()


def test_a_lease_line_that_nobody_can_read_hides_no_absent_holder(desk: Desk) -> None:
    shift = Shift(desk, ops=Scripted())
    shift.came("c1")
    desk.store.mailbox.acquire("ops", "agents", "gone", "n1")
    leases = desk.store.keys.agent("agents", "ops")["leases"]
    desk.store.client.hset(leases, "aaa", "slipped")
    assert [one.agent_id for one in shift.sweeping.absent()] == ["ops"]
