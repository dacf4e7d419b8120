"""acknowledge: what is deposited leaves the inbox."""

from __future__ import annotations

import json

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


def test_what_is_gone_is_left_alone(rig: Rig) -> None:
    """Another router was quicker, or the reply was lost: nothing is written, and the others of the page are acknowledged."""
    entry = rig.submitted("c1")
    rig.put(entry)
    rig.inbox.acknowledge([(entry, "ops", "session-key")])
    with rig.unchanged():
        assert _acknowledge(rig, entry.entry) == 0
    other = rig.submitted("c2")
    rig.put(other)
    rig.inbox.acknowledge([(entry, "elsewhere", "binding"), (other, "ops", "session-key")], {entry.entry: "ops", other.entry: "ops"})
    assert rig.client.hgetall(rig.keys.inbox["caused"]) == {"ops": "1"}
    assert [(w.agent_id, w.via) for w in rig.ledger.where_all(["c1", "c2"]) if w] == [("ops", "session-key")] * 2


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
    assert _acknowledge(rig, entry.entry) == 1
    assert rig.ledger.where("c1") is None


def test_nothing_to_acknowledge(rig: Rig) -> None:
    rig.inbox.acknowledge([])
    assert rig.inbox.pinned([]) == {}


def _acknowledge(rig: Rig, entry: str) -> int:
    """How many were still there."""
    done = json.dumps([(entry, "c1", "elsewhere", "binding", "", 0)])
    reply = rig.caller.call("acknowledge", rig.keys.inbox, group="routers", done=done)
    assert reply.status == "ACKNOWLEDGED"
    return int(reply.rest[0])
