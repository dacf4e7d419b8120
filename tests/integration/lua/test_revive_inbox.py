"""revive_inbox: an ownerless dead letter is resolved afresh, under its id."""

from __future__ import annotations

from tests.support.store import AGENT, Rig, entry_ids


def test_revived(rig: Rig) -> None:
    """REVIVED: an entry with the same id, time and words and the next revival number; `accepted` does not grow."""
    first = rig.rejected("c1")
    assert rig.inbox.revive("c1") is True
    (entry,) = rig.inbox.claim("r1", 10).entries
    assert entry.entry != first.entry
    assert (entry.completion_id, entry.revival, entry.accepted_at_ms, entry.body) == ("c1", 1, first.accepted_at_ms, first.body)
    assert list(rig.ledger.dead_letters()) == []
    assert rig.ledger.balance().accepted == 1
    assert rig.fate("c1") == "accepted"


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: of a lost reply's repetition as of an id that nobody knows."""
    rig.rejected("c1")
    assert rig.inbox.revive("c1") is True
    with rig.unchanged():
        assert rig.inbox.revive("c1") is False
        assert rig.inbox.revive("nobody") is False
    assert rig.caller.call("revive_inbox", rig.keys.inbox, id="c1", announce_ms=1).status == "NOT_DEAD"


def test_a_revived_one_reaches_its_owner(rig: Rig) -> None:
    """The revival number is part of the dedupe key: it is no duplicate, and its own repetition is one."""
    rig.rejected("c1")
    rig.inbox.revive("c1")
    (entry,) = rig.inbox.claim("r1", 10).entries
    rig.inbox.pin({entry.entry: f"{AGENT}|agent:ops:main"})
    assert rig.put(entry).status == "DEPOSITED"
    assert rig.put(entry).status == "DUPLICATE"
    rig.inbox.acknowledge([(entry, AGENT, "binding")])
    assert rig.fate("c1") == "pending"


def test_it_can_die_and_be_revived_again(rig: Rig) -> None:
    rig.rejected("c1")
    for revival in (1, 2):
        rig.inbox.revive("c1")
        (entry,) = rig.inbox.claim("r1", 10).entries
        assert entry.revival == revival
        assert rig.inbox.reject(entry, "unbound-key", {"dead_at": 1}) == "REJECTED"
    assert rig.ledger.balance().dead == 1


def test_after_its_id_is_forgotten(rig: Rig) -> None:
    """A dead letter outlives the dedupe time; nothing is written back that nobody would ever forget."""
    first = rig.rejected("c1")
    rig.client.delete(rig.keys.inbox["seen"], rig.keys.inbox["order"])
    assert rig.inbox.revive("c1") is True
    claimed = rig.inbox.claim("r1", 10)
    assert entry_ids(claimed) == ["c1"]
    assert claimed.entries[0].accepted_at_ms == first.accepted_at_ms
    assert not rig.client.exists(rig.keys.inbox["seen"])


def test_routers_are_told(rig: Rig) -> None:
    rig.rejected("c1")
    assert not rig.client.exists(rig.keys.inbox["announced"])
    rig.inbox.revive("c1")
    assert rig.client.exists(rig.keys.inbox["announced"])
