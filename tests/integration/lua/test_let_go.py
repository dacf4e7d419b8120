"""let_go: a marker that was kept for a handoff may be forgotten, once the letter that it came from is gone."""

from __future__ import annotations

from dataclasses import replace

from dispatcher.store.entries import InboxEntry
from tests.support.store import AGENT, POOL, T0, Rig, deposit

MARK = "from:lab-1:1"


def handed(rig: Rig, *, settled: bool) -> InboxEntry:
    """c1 came from the letters of lab-1, and waits or is settled."""
    entry = rig.submitted("c1")
    rig.caller.books = False
    rig.inbox.acknowledge([(entry, AGENT, "binding")])
    handed_on(rig, entry)
    rig.caller.books = True
    if settled:
        lease = rig.leased().lease
        rig.settle(lease, rig.begun(lease))
    return entry


def handed_on(rig: Rig, entry: InboxEntry) -> str:
    """What the reviver deposits."""
    return rig.mailbox.deposit_all([replace(deposit(replace(entry, revival=1)), entry=f"{MARK},{entry.entry}")])[0].status


def trimmed(rig: Rig) -> int:
    reply = rig.step("trim", agent=AGENT, safe_ms=10**15, older_ms=10**15, keep=0, limit=10)
    return int(reply.rest[0])


def test_let_go(rig: Rig) -> None:
    """LET_GO: from now on it is trimmed like any other. Until then it is not, however old it is."""
    handed(rig, settled=True)
    assert trimmed(rig) == 0
    assert rig.handoffs.let_go(AGENT, POOL, "c1", MARK)
    assert rig.client.zscore(rig.key("finals"), "c1") == T0
    assert not any(entry.startswith("from:") for entry in rig.ledger.marker_of(AGENT, "c1")[1])
    assert trimmed(rig) == 1


def test_a_slow_reviver_still_meets_it(rig: Rig) -> None:
    """In its place comes an entry of now, so that it stays for as long as somebody who noted before may deposit."""
    handed(rig, settled=True)
    before_ms = rig.ledger.now_ms()
    rig.handoffs.let_go(AGENT, POOL, "c1", MARK)
    reply = rig.step("trim", agent=AGENT, safe_ms=before_ms, older_ms=10**15, keep=0, limit=10)
    assert reply.rest[0] == 0


def test_one_that_is_not_over_becomes_trimmable_when_it_is(rig: Rig) -> None:
    handed(rig, settled=False)
    assert rig.handoffs.let_go(AGENT, POOL, "c1", MARK)
    assert rig.client.zscore(rig.key("finals"), "c1") is None
    lease = rig.leased().lease
    rig.settle(lease, rig.begun(lease))
    assert trimmed(rig) == 1


def test_a_repeated_deposit_is_not_counted_again(rig: Rig) -> None:
    """Neither before nor after; the books, which are checked after each step, would show it."""
    entry = handed(rig, settled=False)
    with rig.unchanged():
        assert handed_on(rig, entry) == "DUPLICATE"
    rig.handoffs.let_go(AGENT, POOL, "c1", MARK)
    with rig.unchanged():
        assert handed_on(rig, entry) == "DUPLICATE"


def test_nothing(rig: Rig) -> None:
    """NOTHING: no such completion, no such mark, or the mark of another handoff."""
    handed(rig, settled=False)
    rig.wake("c2")
    with rig.unchanged():
        for completion_id, mark in (("c3", MARK), ("c2", MARK), ("c1", "from:lab-1:2"), ("c1", "from:lab"), ("c1", "from:lab-1:11")):
            assert not rig.handoffs.let_go(AGENT, POOL, completion_id, mark)
