"""suppress: a quiet completion has a fate and wakes nobody."""

from __future__ import annotations

from dispatcher.store.entries import InboxEntry
from dispatcher.store.scripts import Reply
from tests.support.store import AGENT, POOL, Rig, deposit


def suppress(rig: Rig, entry: InboxEntry, pool: str = POOL, configured: str = POOL) -> Reply:
    return rig.mailbox.put_all([(deposit(entry, pool=pool, configured=configured), "empty-success")])[0]


def test_suppressed(rig: Rig) -> None:
    """SUPPRESSED: recorded, counted, and nobody is due."""
    entry = rig.submitted("c1")
    assert suppress(rig, entry).status == "SUPPRESSED"
    assert rig.due_ms() is None
    balance = rig.ledger.balance()
    assert (balance.unrouted, balance.suppressed) == (0, 1)
    rig.inbox.acknowledge([(entry, AGENT, "session-key")])
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.agent_id, where.detail) == ("suppressed", AGENT, "empty-success")


def test_duplicate(rig: Rig) -> None:
    """DUPLICATE: of its own repetition as of a deposit."""
    entry = rig.submitted("c1")
    suppress(rig, entry)
    loud = rig.submitted("c2")
    rig.put(loud)
    with rig.unchanged():
        assert suppress(rig, entry) == ("DUPLICATE", ["suppressed"])
        assert rig.put(entry) == ("DUPLICATE", ["suppressed"])
        assert suppress(rig, loud) == ("DUPLICATE", ["pending"])


def test_an_id_accepted_again_is_counted_once(rig: Rig) -> None:
    suppress(rig, rig.submitted("c1"))
    rig.now_ms += rig.limits.dedupe_ms
    second = rig.submitted("c1")
    suppress(rig, second)
    suppress(rig, second)
    assert rig.ledger.balance().suppressed == 2


def test_moved(rig: Rig) -> None:
    """MOVED: as for a deposit, so that all that is known of an agent lies in one place."""
    rig.wake("c1")
    entry = rig.submitted("c2")
    with rig.unchanged():
        assert suppress(rig, entry, pool="solo") == ("MOVED", ["agents", "agents"])
        assert suppress(rig, entry, configured="solo") == ("MOVED", ["agents", "agents"])


def test_too_late(rig: Rig) -> None:
    """TOO_LATE: read so long ago that its marker may be gone; as for a deposit."""
    entry = rig.submitted("c1")
    with rig.unchanged():
        item = deposit(entry, read_at_ms=rig.now_ms - rig.limits.max_hold_ms - 1)
        assert rig.mailbox.put_all([(item, "empty-success")])[0].status == "TOO_LATE"
    item = deposit(entry, read_at_ms=rig.now_ms - rig.limits.max_hold_ms)
    assert rig.mailbox.put_all([(item, "empty-success")])[0].status == "SUPPRESSED"
