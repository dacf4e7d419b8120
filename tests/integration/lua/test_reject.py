"""reject: an ownerless entry becomes a dead letter in the step that takes it out of the inbox."""

from __future__ import annotations

from tests.support.store import T0, Rig, letter, submission


def test_rejected(rig: Rig) -> None:
    """REJECTED: from the inbox to the dead letters, with everything that reviving needs."""
    entry = rig.rejected("c1")
    assert rig.ledger.inbox_depth() == 0
    assert rig.client.xpending(rig.keys.inbox["stream"], "routers")["pending"] == 0
    (dead,) = rig.ledger.dead_letters()
    assert (dead.completion_id, dead.reason, dead.agent_id, dead.dead_at_ms, dead.errors) == ("c1", "unbound-key", None, T0, ("no owner",))
    found = rig.ledger.dead_letter("c1")
    assert found
    assert found[1]["body"] == entry.body
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.detail) == ("dead", "unbound-key")
    assert rig.client.hget(rig.keys.inbox["counters"], "dead:unbound-key") == "1"


def test_its_pin_goes_too(rig: Rig) -> None:
    """Claimed too often: an owner was found, and nobody ever answered."""
    entry = rig.submitted("c1", "node-mac")
    rig.inbox.pin({entry.entry: "ops|agent:ops:main"})
    assert rig.inbox.reject(entry, "router-crash", letter(T0)) == "REJECTED"
    assert rig.inbox.pinned([entry.entry]) == {}


def test_gone(rig: Rig) -> None:
    """GONE: after a lost reply nothing is counted twice."""
    entry = rig.rejected("c1")
    with rig.unchanged():
        assert rig.inbox.reject(entry, "unbound-key", letter(T0)) == "GONE"


def test_dead_full(rig: Rig) -> None:
    """DEAD_FULL: nothing is evicted, the entry stays where it is."""
    rig.rejected("c1")
    entry = rig.submitted("c2", "node-mac")
    small = rig.limited(max_dead=1)
    with rig.unchanged():
        assert small.inbox.reject(entry, "unbound-key", letter(T0)) == "DEAD_FULL"
    assert rig.ledger.inbox_depth() == 1


def test_a_receipt_that_nobody_can_read_stops_nothing(rig: Rig) -> None:
    """Otherwise half of the step is done, and the entry is gone with its books wrong."""
    entry = rig.submitted("c1", "node-mac")
    rig.client.hset(rig.keys.inbox["seen"], "c1", "scribble")
    assert rig.inbox.reject(entry, "unbound-key", letter(T0)) == "REJECTED"
    assert rig.client.hget(rig.keys.inbox["seen"], "c1") == "scribble"


def test_the_same_id_ownerless_twice_is_accounted_for(rig: Rig) -> None:
    """After the dedupe time an id is accepted again; its letter replaces the older one, and the books say so."""
    rig.rejected("c1")
    rig.now_ms += rig.limits.dedupe_ms
    rig.rejected("c1", "missing-key")
    balance = rig.ledger.balance()
    assert (balance.accepted, balance.dead, balance.suppressed) == (2, 1, 1)
    assert [dead.reason for dead in rig.ledger.dead_letters()] == ["missing-key"]


def test_a_rejected_id_is_still_a_duplicate(rig: Rig) -> None:
    rig.rejected("c1")
    with rig.unchanged():
        assert rig.inbox.submit(submission("c1", "node-mac"), rig.now_ms)[0].duplicate
