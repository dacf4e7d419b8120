"""handoff: a dead letter that is revived for another agent says whom it is for, before that one gets its wake."""

from __future__ import annotations

from dispatcher.core.models import Address
from dispatcher.store.handoffs import Handoff
from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, POOL, T0, Rig

HEIR, THIRD = (Address(agent_id=name, session_key=f"agent:{name}:main") for name in ("heir", "third"))


def died(rig: Rig) -> str:
    """c1 is a dead letter of the agent. Its inbox entry."""
    entry = rig.submitted("c1")
    rig.put(entry)
    rig.inbox.acknowledge([(entry, AGENT, "binding")])
    lease = rig.leased().lease
    rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "boom")
    return entry.entry


def test_handed(rig: Rig) -> None:
    """HANDED: beside the letter stands whom it is for; the letter itself stays, for everyone to see."""
    entry = died(rig)
    noted = rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    assert noted == Handoff("heir", HEIR.session_key, "binding", 1, f"from:{AGENT}:1,{entry}", T0)
    found = rig.ledger.dead_letter("c1")
    assert found
    assert (found[0].agent_id, found[0].handoff_to) == (AGENT, "heir")
    assert [letter.handoff_to for letter in rig.ledger.dead_letters()] == ["heir"]
    assert rig.handoffs.open(POOL, AGENT) == {"c1": ("heir", T0)}
    assert rig.ledger.balance().dead == 1


def test_the_first_note_holds(rig: Rig) -> None:
    """Whoever comes later, and whoever owns the key by then; only the time is that of the answer."""
    died(rig)
    first = rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    rig.now_ms += 500
    with rig.unchanged():
        later = rig.handoffs.note(AGENT, POOL, "c1", 1, THIRD, "default")
    assert first
    assert later
    assert (later.agent_id, later.session_key, later.via, later.at_ms) == ("heir", HEIR.session_key, "binding", first.at_ms + 500)


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: no such letter, or another one of this id than somebody looked at."""
    died(rig)
    with rig.unchanged():
        assert rig.handoffs.note(AGENT, POOL, "c2", 1, HEIR, "binding") is None
        assert rig.handoffs.note(AGENT, POOL, "c1", 2, HEIR, "binding") is None


def test_a_letter_that_is_handed_over_is_neither_revived_here_nor_dropped(rig: Rig) -> None:
    """HANDED_OFF, for each of them: the other agent may have it already."""
    died(rig)
    rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    with rig.unchanged():
        assert rig.mailbox.revive(AGENT, POOL, "c1") == Ended("HANDED_OFF")
        assert rig.mailbox.drop(AGENT, POOL, "c1", "operator") == Ended("HANDED_OFF")
        assert rig.mailbox.drop(AGENT, POOL, "c1", "expired", T0 + 1) == Ended("HANDED_OFF")


def test_a_note_about_an_earlier_letter_does_not_count(rig: Rig) -> None:
    died(rig)
    rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    noted = rig.client.hgetall(rig.key("handoffs"))
    rig.client.delete(rig.key("handoffs"))
    rig.mailbox.revive(AGENT, POOL, "c1")
    lease = rig.leased().lease
    rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "boom")
    rig.client.hset(rig.key("handoffs"), mapping=noted)
    found = rig.ledger.dead_letter("c1")
    assert found
    assert found[0].handoff_to is None
    again = rig.handoffs.note(AGENT, POOL, "c1", 2, THIRD, "binding")
    assert again
    assert (again.agent_id, again.revival) == ("third", 2)


def test_it_moves_with_its_letter(rig: Rig) -> None:
    died(rig)
    rig.handoffs.note(AGENT, POOL, "c1", 1, HEIR, "binding")
    assert rig.mailbox.move(AGENT, POOL, "solo", "solo") == "MOVED"
    assert rig.mailbox.revive(AGENT, "solo", "c1") == Ended("HANDED_OFF")
