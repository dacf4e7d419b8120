"""reroute.lua: the receipt of a revived completion learns its new owner."""

from __future__ import annotations

from tests.support.store import AGENT, Rig


def reroute(rig: Rig, completion_id: str) -> str:
    return rig.caller.call("reroute", rig.keys.inbox, id=completion_id, agent="research", via="binding").status


def test_only_owner_and_way_change(rig: Rig) -> None:
    rig.wake("c1")
    before = str(rig.client.hget(rig.keys.inbox["seen"], "c1"))
    assert before.endswith(f"|routed|{AGENT}|session-key")
    with rig.unchanged("seen"):
        assert reroute(rig, "c1") == "REROUTED"
    after = rig.client.hget(rig.keys.inbox["seen"], "c1")
    assert after == before.replace(f"|{AGENT}|session-key", "|research|binding")


def test_a_receipt_that_is_forgotten_is_not_made_up(rig: Rig) -> None:
    with rig.unchanged():
        assert reroute(rig, "c1") == "FORGOTTEN"
