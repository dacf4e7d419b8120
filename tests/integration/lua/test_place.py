"""place: a running heartbeat keeps its place among those that are capped, or leaves it."""

from __future__ import annotations

from dispatcher.core.policy import Admission
from dispatcher.core.rules import Rules
from dispatcher.store.scripts import Reply
from tests.support.store import POOL, T0, Rig

CAPPED = Rules(all_cap=1, pool_cap=1)


def place(rig: Rig, agent_id: str, ttl_ms: int) -> Reply:
    return rig.caller.call("place", rig.keys.caps(POOL), now=rig.now_ms, agent=agent_id, ttl_ms=ttl_ms)


def admitted(rig: Rig, agent_id: str) -> bool:
    return rig.caps.admit(agent_id, POOL, Admission(2, T0, late=False), CAPPED) is None


def places(rig: Rig) -> dict[str, dict[str, float]]:
    keys = rig.keys.caps(POOL)
    return {name: dict(rig.client.zrange(keys[name], 0, -1, withscores=True)) for name in ("running", "pool_running")}


def test_kept(rig: Rig) -> None:
    """KEPT: both places last a ttl from now, as often as the lease is renewed."""
    admitted(rig, "a")
    rig.now_ms += 20_000
    assert place(rig, "a", 30_000) == ("KEPT", [])
    assert places(rig) == {"running": {"a": T0 + 50_000}, "pool_running": {"a": T0 + 50_000}}
    rig.now_ms += 20_000
    assert not admitted(rig, "b")


def test_left(rig: Rig) -> None:
    """LEFT: the next may have it at once; to leave twice does no harm."""
    admitted(rig, "a")
    assert place(rig, "a", 0) == ("LEFT", [])
    assert places(rig) == {"running": {}, "pool_running": {}}
    assert admitted(rig, "b")
    assert place(rig, "a", 0) == ("LEFT", [])
    assert places(rig)["running"].keys() == {"b"}


def test_a_place_that_ran_out_is_not_taken_again(rig: Rig) -> None:
    """It is another's by now."""
    admitted(rig, "a")
    rig.now_ms += rig.limits.ttl_ms
    assert admitted(rig, "b")
    assert place(rig, "a", 30_000) == ("KEPT", [])
    assert places(rig)["running"].keys() == {"b"}
