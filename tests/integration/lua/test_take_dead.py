"""take_dead: a dead letter whose key has another owner now leaves the old one, after its revival lies with the new one."""

from __future__ import annotations

from dataclasses import replace

from dispatcher.store.inbox import InboxEntry
from dispatcher.store.mailbox import Ended
from dispatcher.store.scripts import Reply
from tests.support.store import AGENT, POOL, Rig, ids

HEIR = "agent:heir:main"


def died(rig: Rig) -> InboxEntry:
    entry = rig.submitted("c1")
    rig.put(entry)
    rig.inbox.acknowledge([(entry, AGENT, "binding")])
    lease = rig.leased().lease
    rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "boom")
    return entry


def inherited(rig: Rig, entry: InboxEntry, revival: int = 1, session: str = HEIR) -> Reply:
    """What the reviver writes first. Until the dead letter is taken the completion is in both places."""
    rig.caller.books = False
    return rig.put(replace(entry, revival=revival), session=session)


def test_taken(rig: Rig) -> None:
    """TAKEN: letter and marker go, the heir has the wake, the books are right again."""
    entry = died(rig)
    assert inherited(rig, entry).status == "DEPOSITED"
    assert rig.mailbox.take_dead(AGENT, POOL, "c1", 1) == Ended("TAKEN")
    rig.caller.books = True
    rig.inbox.reroute("c1", "heir", "binding")
    assert list(rig.ledger.dead_letters()) == []
    assert not rig.client.exists(rig.key("fates"))
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
    assert rig.mailbox.take_dead(AGENT, POOL, "c1", 1).status == "TAKEN"
    assert rig.ledger.balance().balance == 0


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: it was taken already, or the letter is of this very revival, which died here."""
    entry = died(rig)
    with rig.unchanged():
        assert rig.mailbox.take_dead(AGENT, POOL, "c1", 0) == Ended("NOT_DEAD")
        assert rig.mailbox.take_dead(AGENT, POOL, "c2", 1) == Ended("NOT_DEAD")
    inherited(rig, entry)
    rig.mailbox.take_dead(AGENT, POOL, "c1", 1)
    with rig.unchanged():
        assert rig.mailbox.take_dead(AGENT, POOL, "c1", 1) == Ended("NOT_DEAD")


def test_a_revival_that_came_back_to_the_same_agent_keeps_its_marker(rig: Rig) -> None:
    """The owner changed back meanwhile: the marker there is that of the wake that lives."""
    entry = died(rig)
    assert inherited(rig, entry, session="agent:ops:main").status == "DEPOSITED"
    assert rig.mailbox.take_dead(AGENT, POOL, "c1", 1) == Ended("TAKEN")
    rig.caller.books = True
    with rig.unchanged():
        assert inherited(rig, entry, session="agent:ops:main") == ("DUPLICATE", ["pending"])
    lease = rig.leased().lease
    batch = rig.begun(lease)
    assert ids(batch) == ["c1"]
    assert rig.settle(lease, batch).count == 1
    assert rig.fate("c1") == "settled"
