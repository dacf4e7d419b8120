"""drop: an operator gives up a dead letter of an agent."""

from __future__ import annotations

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, POOL, T0, Rig


def test_dropped(rig: Rig) -> None:
    """DROPPED: with a receipt, and a marker that stays."""
    entry = rig.submitted("c1")
    rig.put(entry)
    lease = rig.leased().lease
    rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "")
    assert rig.mailbox.drop(AGENT, POOL, "c1", "operator") == Ended("DROPPED")
    with rig.unchanged():
        assert rig.put(entry) == ("DUPLICATE", ["dropped"])
    rig.inbox.acknowledge([(entry, AGENT, "session-key")])
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.detail, where.at_ms) == ("dropped", "operator", T0)
    balance = rig.ledger.balance()
    assert (balance.dead, balance.dropped) == (0, 1)
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]) == ("dropped", {"id": "c1", "reason": "operator"})


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: only the dead are dropped, and once."""
    rig.buried("c1")
    rig.wake("c2")
    rig.mailbox.drop(AGENT, POOL, "c1", "operator")
    with rig.unchanged():
        for completion_id in ("c1", "c2", "c3"):
            assert rig.mailbox.drop(AGENT, POOL, completion_id, "operator") == Ended("NOT_DEAD")


def test_one_that_died_again_is_another_letter(rig: Rig) -> None:
    """NOT_DEAD for one that is not as old as the one that somebody looked at."""
    rig.buried("c1")
    with rig.unchanged():
        assert rig.mailbox.drop(AGENT, POOL, "c1", "expired", T0) == Ended("NOT_DEAD")
    assert rig.mailbox.drop(AGENT, POOL, "c1", "expired", T0 + 1) == Ended("DROPPED")
