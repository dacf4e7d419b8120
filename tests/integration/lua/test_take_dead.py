"""take_dead: a dead letter whose key has another owner now leaves the old one, after its revival lies with the new one."""

from __future__ import annotations

from dataclasses import replace

from dispatcher.core.models import Address
from dispatcher.store.entries import InboxEntry
from dispatcher.store.scripts import Reply
from tests.support.store import AGENT, POOL, Rig

HEIR = Address(agent_id="heir", session_key="agent:heir:main")


def died(rig: Rig, *, acknowledged: bool = True) -> InboxEntry:
    entry = rig.submitted("c1")
    rig.inbox.pin({entry.entry: f"{AGENT}|agent:{AGENT}:main"})
    rig.put(entry)
    if acknowledged:
        rig.inbox.acknowledge([(entry, AGENT, "binding")])
    lease = rig.leased().lease
    rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "boom")
    return entry


def inherited(rig: Rig, entry: InboxEntry) -> Reply:
    """What the reviver writes first. The books count the completion once, with the heir."""
    handoff = rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    assert handoff
    return rig.put(replace(entry, revival=1, entry=handoff.entries), session=HEIR.session_key)


def test_taken(rig: Rig) -> None:
    """TAKEN: the letter goes, the heir has the wake; the marker is over and says where it went."""
    entry = died(rig)
    assert inherited(rig, entry).status == "DEPOSITED"
    rig.inbox.reroute("c1", "heir", "binding", 1)
    assert rig.handoffs.take(AGENT, POOL, "c1", 1)
    assert list(rig.ledger.dead_letters()) == []
    assert not rig.client.exists(rig.key("handoffs"))
    assert str(rig.client.hget(rig.key("fates"), "c1")).startswith("routed|0|")
    assert rig.client.zscore(rig.key("finals"), "c1") is not None
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.agent_id) == ("pending", "heir")
    balance = rig.ledger.balance()
    assert (balance.accepted, balance.pending, balance.dead) == (1, 1, 0)


def test_a_reviver_that_died_in_between_is_repeated(rig: Rig) -> None:
    """Both places have it; the second try wakes nobody twice."""
    entry = died(rig)
    inherited(rig, entry)
    assert inherited(rig, entry) == ("DUPLICATE", ["pending"])
    assert rig.handoffs.take(AGENT, POOL, "c1", 1)
    assert rig.ledger.balance().balance == 0


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: it was handed to nobody, it was taken already, or another revival is meant."""
    entry = died(rig)
    with rig.unchanged():
        assert not rig.handoffs.take(AGENT, POOL, "c1", 1)
    inherited(rig, entry)
    with rig.unchanged():
        assert not rig.handoffs.take(AGENT, POOL, "c1", 0)
        assert not rig.handoffs.take(AGENT, POOL, "c1", 2)
        assert not rig.handoffs.take(AGENT, POOL, "c2", 1)
    rig.handoffs.take(AGENT, POOL, "c1", 1)
    with rig.unchanged():
        assert not rig.handoffs.take(AGENT, POOL, "c1", 1)


def test_an_entry_that_is_still_in_the_inbox_wakes_the_old_owner_no_more(rig: Rig) -> None:
    """Its router died after the deposit, and another one takes it over when the letter is gone: pinned to the agent that it had then."""
    entry = died(rig, acknowledged=False)
    inherited(rig, entry)
    rig.inbox.reroute("c1", "heir", "binding", 1)
    assert rig.handoffs.take(AGENT, POOL, "c1", 1)
    with rig.unchanged():
        assert rig.put(entry) == ("DUPLICATE", ["routed"])
    rig.inbox.acknowledge([(entry, AGENT, "binding")])
    where = rig.ledger.where("c1")
    assert where
    assert where.agent_id == "heir", "its late acknowledgement does not undo where it is"


def test_a_revival_that_came_back_to_the_same_agent_keeps_its_marker(rig: Rig) -> None:
    """The owner changed back meanwhile: the marker there is that of the wake that lives."""
    entry = died(rig)
    rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    rig.caller.books = False  # nothing but a fault puts a wake beside the letter that it came from
    back = replace(entry, revival=2)
    assert rig.put(back).status == "DEPOSITED"
    assert rig.handoffs.take(AGENT, POOL, "c1", 1)
    rig.caller.books = True
    with rig.unchanged():
        assert rig.put(back) == ("DUPLICATE", ["pending"])
    lease = rig.leased().lease
    assert rig.settle(lease, rig.begun(lease)).count == 1
    assert rig.fate("c1") == "settled"
