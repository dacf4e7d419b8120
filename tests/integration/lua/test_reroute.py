"""reroute.lua: the receipt of a revived completion learns its new owner."""

from __future__ import annotations

from tests.support.store import AGENT, Rig


def reroute(rig: Rig, completion_id: str, revival: int = 1, agent_id: str = "research") -> str:
    return rig.caller.call("reroute", rig.keys.inbox, id=completion_id, agent=agent_id, via="binding", revival=revival).status


def test_only_owner_way_and_revival_change(rig: Rig) -> None:
    rig.wake("c1")
    before = str(rig.client.hget(rig.keys.inbox["seen"], "c1"))
    assert before.endswith(f"|0|routed|{AGENT}|session-key")
    with rig.unchanged("seen"):
        assert reroute(rig, "c1") == "REROUTED"
    after = rig.client.hget(rig.keys.inbox["seen"], "c1")
    assert after == before.replace(f"|0|routed|{AGENT}|session-key", "|1|routed|research|binding")


def test_an_earlier_revival_comes_too_late(rig: Rig) -> None:
    """LATE: it went elsewhere again since; the reviver that was slow changes nothing."""
    rig.wake("c1")
    assert reroute(rig, "c1", 3) == "REROUTED"
    with rig.unchanged():
        assert reroute(rig, "c1", 2, "third") == "LATE"


def test_a_receipt_that_is_forgotten_is_not_made_up(rig: Rig) -> None:
    with rig.unchanged():
        assert reroute(rig, "c1") == "FORGOTTEN"
