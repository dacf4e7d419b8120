"""watch: whose holder is not there."""

from __future__ import annotations

from typing import Any

from dispatcher.store.scripts import Reply
from tests.support.store import AGENT, SIDE, Rig


def watch(rig: Rig) -> Reply:
    return rig.step("watch", channel=rig.keys.presence_channel)


def test_watched(rig: Rig) -> None:
    """WATCHED: absent holders, each with what a reclaim must compare; nothing is written."""
    assert watch(rig) == ("WATCHED", [])
    lease, batch = rig.running()
    rig.mailbox.renew_all([(lease, batch.batch_id)])
    with rig.unchanged():
        assert watch(rig) == ("WATCHED", [AGENT, str(lease.token), "1"])


def test_who_listens_is_there(rig: Rig) -> None:
    """The connection closes with its process, and the server knows at once."""
    lease, _ = rig.running()
    with rig.presence("h1"):
        assert watch(rig) == ("WATCHED", [])
    assert watch(rig) == ("WATCHED", [AGENT, str(lease.token), "0"])


def test_another_holder_with_the_same_beginning_is_somebody_else(rig: Rig) -> None:
    rig.running(holder="h1")
    with rig.presence("h11"):
        assert watch(rig).rest[:1] == [AGENT]


def test_each_agent_is_looked_at_for_itself(rig: Rig) -> None:
    twin = next(n for n in (f"a{i}" for i in range(1000)) if rig.keys.slot_of(n) == rig.keys.slot_of(AGENT))
    rig.running(holder="h1")
    rig.wake("c2", session=f"agent:{twin}:main")
    rig.mailbox.acquire(twin, "agents", "h2", "n")
    with rig.presence("h1"):
        assert watch(rig).rest[::3] == [twin]
    assert sorted(watch(rig).rest[::3]) == sorted([AGENT, twin])


def test_a_lease_that_was_reclaimed_is_not_listed_again(rig: Rig) -> None:
    """Else every look would reclaim it once more, and ring, until somebody has time for the agent."""
    lease, _ = rig.running()
    args: dict[str, Any] = {"now": rig.now_ms, "agent": AGENT, "token": lease.token, "renewal": 0, "channel": rig.keys.presence_channel}
    assert rig.step("reclaim", **args, min_uptime_s=0, ledger_max=10).status == "RECLAIMED"
    assert watch(rig) == ("WATCHED", [])


def test_who_released_is_not_listed(rig: Rig) -> None:
    rig.settle(*rig.running(session=SIDE))
    assert watch(rig) == ("WATCHED", [])
