"""acknowledge: what is deposited leaves the inbox."""

from __future__ import annotations

from tests.support.store import Rig


def test_acknowledged(rig: Rig) -> None:
    """ACKNOWLEDGED: entry, claim and pin go; the receipt learns the owner and how it was found."""
    entry = rig.submitted("c1")
    rig.inbox.pin({entry.entry: "ops|agent:ops:main"})
    rig.put(entry)
    assert rig.fate("c1") == "accepted"
    rig.inbox.acknowledge([(entry, "ops", "binding")])
    assert rig.ledger.inbox_depth() == 0
    assert rig.client.xpending(rig.keys.inbox["stream"], "routers")["pending"] == 0
    assert rig.inbox.pinned([entry.entry]) == {}
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.agent_id, where.pool, where.via) == ("pending", "ops", "agents", "binding")


def test_gone(rig: Rig) -> None:
    """GONE: another router was quicker, or the reply was lost."""
    entry = rig.submitted("c1")
    rig.put(entry)
    rig.inbox.acknowledge([(entry, "ops", "session-key")])
    with rig.unchanged():
        assert _acknowledge(rig, entry.entry) == "GONE"


def test_an_entry_between_deposit_and_acknowledge_is_counted_once(rig: Rig) -> None:
    """The audit tells it from an unrouted one by its deposit marker."""
    entry = rig.submitted("c1")
    assert rig.ledger.balance().unrouted == 1
    rig.put(entry)
    balance = rig.ledger.balance()
    assert (balance.unrouted, balance.pending, balance.balance) == (0, 1, 0)


def test_an_entry_whose_id_is_forgotten_is_acknowledged(rig: Rig) -> None:
    entry = rig.submitted("c1")
    rig.put(entry)
    rig.client.delete(rig.keys.inbox["seen"])
    assert _acknowledge(rig, entry.entry) == "ACKNOWLEDGED"
    assert rig.ledger.where("c1") is None


def test_nothing_to_acknowledge(rig: Rig) -> None:
    rig.inbox.acknowledge([])
    assert rig.inbox.pinned([]) == {}


def _acknowledge(rig: Rig, entry: str) -> str:
    return rig.caller.call(
        "acknowledge", rig.keys.inbox, group="routers", entry=entry, id="c1", agent="elsewhere", via="binding", cause=""
    ).status
