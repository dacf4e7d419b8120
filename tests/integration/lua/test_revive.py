"""revive: a dead letter of an agent waits again."""

from __future__ import annotations

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, POOL, T0, Rig, ids


def test_revived(rig: Rig) -> None:
    """REVIVED: same id, same words, same output, the next revival; due at once; `accepted` does not grow."""
    rig.wake("c0", output="tail")
    batch = rig.buried("c1")
    rig.now_ms += 10
    assert rig.mailbox.revive(AGENT, POOL, "c0") == Ended("REVIVED", ring=True)
    assert [letter.completion_id for letter in rig.ledger.dead_letters()] == ["c1"]
    assert rig.due_ms() == T0 + 10
    assert rig.fate("c0") == "pending"
    balance = rig.ledger.balance()
    assert (balance.accepted, balance.pending, balance.dead) == (2, 1, 1)
    assert rig.client.hget(rig.key("counters"), "revived") == "1"
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["detail"]) == ("revived", {"id": "c0"})
    again = rig.begun(rig.leased().lease)
    assert again.wakes == batch.wakes[:1]
    assert again.outputs == {"c0": "tail"}
    assert (again.attempt, again.failures) == (1, 0)


def test_not_dead(rig: Rig) -> None:
    """NOT_DEAD: of a repetition, of what lives, of what nobody knows."""
    rig.buried("c1")
    rig.wake("c2")
    rig.mailbox.revive(AGENT, POOL, "c1")
    with rig.unchanged():
        for completion_id in ("c1", "c2", "c3"):
            assert rig.mailbox.revive(AGENT, POOL, completion_id) == Ended("NOT_DEAD")


def test_it_can_die_again(rig: Rig) -> None:
    rig.buried("c1")
    for revival in (1, 2):
        rig.mailbox.revive(AGENT, POOL, "c1")
        lease = rig.leased().lease
        rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "")
        found = rig.ledger.dead_letter("c1")
        assert found
        assert found[1]["revival"] == revival


def test_its_first_entry_is_still_a_duplicate(rig: Rig) -> None:
    """The router that deposited it may come back with the entry after the revival."""
    entry = rig.submitted("c1")
    rig.put(entry)
    lease = rig.leased().lease
    rig.mailbox.bury(lease, rig.begun(lease).batch_id, "attempts-exhausted", "")
    rig.mailbox.revive(AGENT, POOL, "c1")
    with rig.unchanged():
        assert rig.put(entry).status == "DUPLICATE"
    assert rig.waiting() == ["c1"]


def test_while_the_agent_runs_nobody_is_rung(rig: Rig) -> None:
    rig.buried("c1")
    lease, batch = rig.running("c2")
    assert rig.mailbox.revive(AGENT, POOL, "c1").ring is False
    assert rig.settle(lease, batch).ring is True
    assert ids(rig.begun(rig.leased().lease)) == ["c1"]
