"""admit: a place among the running heartbeats, by urgency and age; and the bounded release after an outage."""

from __future__ import annotations

import pytest

from dispatcher.core.policy import Admission
from dispatcher.core.rules import Rules
from dispatcher.store.caps import NoPlace
from dispatcher.store.scripts import Argument, Reply
from tests.support.store import POOL, T0, Rig

ONE = Rules(pool_cap=1)


def admit(
    rig: Rig, agent_id: str, rules: Rules = ONE, *, urgency: int = 2, since: int = 0, late: bool = False, pool: str = POOL
) -> NoPlace | None:
    return rig.caps.admit(agent_id, pool, Admission(urgency, T0 + since, late), rules)


def raw(rig: Rig, agent_id: str, **args: int) -> Reply:
    words: dict[str, Argument] = {
        "now": rig.now_ms,
        "agent": agent_id,
        "ttl_ms": 30_000,
        "all_cap": 0,
        "pool_cap": 1,
        "rank": 0,
        "late": 0,
        "rate": 0,
        **args,
    }
    return rig.caller.call("admit", rig.keys.caps(POOL), **words)


def test_admitted_and_wait(rig: Rig) -> None:
    """ADMITTED up to the cap; then WAIT, with the time until it is worth to ask again and how many go before."""
    assert raw(rig, "a") == ("ADMITTED", [])
    assert raw(rig, "b") == ("WAIT", [1_000, 0])
    assert raw(rig, "c") == ("WAIT", [1_050, 1])
    rig.caps.leave("a", POOL)
    assert raw(rig, "c") == ("WAIT", [1_000, 1])
    assert raw(rig, "b").status == "ADMITTED"


def test_the_most_urgent_goes_first_then_the_oldest(rig: Rig) -> None:
    admit(rig, "busy")
    admit(rig, "young", since=5)
    admit(rig, "old", since=1)
    admit(rig, "person", urgency=0, since=9)
    assert rig.client.zrange(rig.keys.caps(POOL)["line"], 0, -1) == ["person", "old", "young"]
    rig.caps.leave("busy", POOL)
    assert admit(rig, "old", since=1) == NoPlace(1_000, 1)
    assert admit(rig, "person", urgency=0, since=9) is None


def test_who_asks_again_after_a_lost_reply_has_its_place_already(rig: Rig) -> None:
    """An agent never stands in its own way."""
    assert admit(rig, "a") is None
    assert admit(rig, "a") is None
    assert rig.client.zcard(rig.keys.caps(POOL)["pool_running"]) == 1


def test_the_cap_of_the_store_binds_all_pools_together(rig: Rig) -> None:
    both = Rules(all_cap=2, pool_cap=2)
    assert admit(rig, "a", both) is None
    assert admit(rig, "b", both, pool="solo") is None
    assert admit(rig, "c", both) == NoPlace(1_000, 0)
    assert admit(rig, "d", both, pool="solo") == NoPlace(1_000, 0)
    rig.caps.leave("b", "solo")
    assert admit(rig, "c", both) is None


def test_who_waits_in_another_pool_stands_before_nobody_here(rig: Rig) -> None:
    for agent_id in ("a", "b", "c"):
        admit(rig, agent_id, Rules(all_cap=5, pool_cap=1), pool="solo")
    assert admit(rig, "d", Rules(all_cap=5, pool_cap=5)) is None


def test_a_place_that_nobody_keeps_ends(rig: Rig) -> None:
    """The worker died; a cap is no lease."""
    admit(rig, "a")
    rig.now_ms += rig.limits.ttl_ms - 1
    assert admit(rig, "b") is not None
    rig.now_ms += 1
    assert admit(rig, "b") is None


def test_who_does_not_ask_again_loses_its_place_in_the_line(rig: Rig) -> None:
    """Its work is gone, or its worker."""
    admit(rig, "busy")
    admit(rig, "gone", urgency=0)
    rig.now_ms += 20_000
    rig.caps.keep_all([("busy", POOL)])
    assert admit(rig, "b") == NoPlace(1_050, 1)
    rig.now_ms += 10_000
    assert admit(rig, "b") == NoPlace(1_000, 0)


def test_what_is_late_is_released_at_the_rate(rig: Rig) -> None:
    """Four a second: one at once, then one every 250 ms in the order of the line; a second without any leaves four."""
    rules = Rules(release_per_s=4)
    agents = [f"a{n}" for n in range(7)]
    waits = [admit(rig, agent, rules, since=n, late=True) for n, agent in enumerate(agents)]
    assert waits == [None, *(NoPlace(250 * n, n - 1) for n in range(1, 7))]
    rig.now_ms += 250
    assert admit(rig, "a2", rules, since=2, late=True) == NoPlace(250, 1)
    assert admit(rig, "a1", rules, since=1, late=True) is None
    rig.now_ms += 5_000
    assert [admit(rig, agent, rules, since=n, late=True) is None for n, agent in enumerate(agents[2:], 2)] == [True] * 4 + [False]


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_rate_below_one_still_releases(rig: Rig, rate: float) -> None:
    rules = Rules(release_per_s=rate)
    assert admit(rig, "a", rules, late=True) is None
    assert admit(rig, "b", rules, late=True) == NoPlace(int(1000 / rate), 0)
    rig.now_ms += int(1000 / rate)
    assert admit(rig, "b", rules, late=True) is None


def test_what_is_not_late_takes_no_token(rig: Rig) -> None:
    rules = Rules(release_per_s=1, pool_cap=100)
    assert [admit(rig, f"a{n}", rules) for n in range(20)] == [None] * 20


def test_nobody_waits_longer_than_ten_seconds_to_ask_again(rig: Rig) -> None:
    """So that it keeps its place in the line."""
    admit(rig, "busy")
    waits = [admit(rig, f"a{n:03}", since=n) for n in range(300)]
    assert waits[0] == NoPlace(1_000, 0)
    assert waits[-1] == NoPlace(10_000, 299)


def test_without_a_cap_nothing_is_written_down_as_running(rig: Rig) -> None:
    admit(rig, "a", Rules())
    keys = rig.keys.caps(POOL)
    assert rig.client.exists(keys["running"], keys["pool_running"], keys["line"], keys["asked"]) == 0
