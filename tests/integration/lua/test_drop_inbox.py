"""drop_inbox: an operator gives up an ownerless dead letter."""

from __future__ import annotations

from tests.support.store import T0, Rig


def test_dropped(rig: Rig) -> None:
    """DROPPED: the letter goes, the receipt and the books say so."""
    rig.rejected("c1")
    assert rig.inbox.drop("c1") is True
    assert list(rig.ledger.dead_letters()) == []
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.detail) == ("dropped", "operator")
    balance = rig.ledger.balance()
    assert (balance.dead, balance.dropped) == (0, 1)


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: nothing is dropped twice, and nothing that lives."""
    rig.rejected("c1")
    rig.inbox.drop("c1")
    rig.wake("c2")
    with rig.unchanged():
        assert rig.inbox.drop("c1") is False
        assert rig.inbox.drop("c2") is False
    assert rig.caller.call("drop_inbox", rig.keys.inbox, id="c2", reason="operator", before=0).status == "NOT_DEAD"


def test_after_its_id_is_forgotten(rig: Rig) -> None:
    rig.rejected("c1")
    rig.client.delete(rig.keys.inbox["seen"])
    assert rig.inbox.drop("c1") is True
    assert rig.ledger.where("c1") is None


def test_one_that_died_again_is_another_letter(rig: Rig) -> None:
    """NOT_DEAD for one that is not as old as the one that somebody looked at."""
    rig.rejected("c1")
    with rig.unchanged():
        assert rig.inbox.drop("c1", "expired", T0) is False
    assert rig.inbox.drop("c1", "expired", T0 + 1) is True
