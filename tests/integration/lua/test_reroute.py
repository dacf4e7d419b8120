"""reroute: the receipt of a revived completion learns its new owner."""

from __future__ import annotations

from tests.support.store import Rig


def test_rerouted(rig: Rig) -> None:
    """REROUTED: only owner and way change, and again makes no difference."""
    rig.wake("c1")
    seen = rig.client.hget(rig.keys.inbox["seen"], "c1")
    assert seen
    assert reroute(rig, "c1") == "REROUTED"
    with rig.unchanged():
        assert reroute(rig, "c1") == "REROUTED"
    assert rig.client.hget(rig.keys.inbox["seen"], "c1") == seen.replace("routed|ops|session-key", "routed|heir|binding")


def test_forgotten(rig: Rig) -> None:
    """FORGOTTEN: no record is made for an id whose time is over; nobody would ever forget it."""
    with rig.unchanged():
        assert reroute(rig, "c1") == "FORGOTTEN"


def reroute(rig: Rig, completion_id: str) -> str:
    return rig.caller.call("reroute", rig.keys.inbox, id=completion_id, agent="heir", via="binding").status
