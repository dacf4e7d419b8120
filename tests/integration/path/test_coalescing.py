"""Many completions, few heartbeats, and each only in its own agent's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.beats import assert_each_once, assert_one_at_a_time, ids_of
from tests.support.gates import wait_until
from tests.support.gateway import CALLABLE, PATIENCE_S, Gateway, ids


def burst(gateway: Gateway, record: Callable[[str, object], None], **pool: object) -> None:
    """500 completions of one agent through one producer, while a heartbeat takes 200 ms."""
    gateway.configure(pools={"agents": pool})
    gateway.plan(seconds=0.2)
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    sent = ids("c", 500)
    answers = gateway.producer.delay_all({"completion_id": i, "session_key": "agent:ops:main", "exit_code": 1, "output": i} for i in sent)
    assert [answer["completion_id"] for answer in answers] == sent
    wait_until(lambda: not gateway.store.ledger.inbox_depth(), PATIENCE_S, "all are routed")
    routed_ms = gateway.store.ledger.now_ms()
    assert gateway.producer.fate(sent[-1], PATIENCE_S) == {"fate": "settled"}
    gateway.quiet(accepted=500, settled=500)
    beats = gateway.beats()
    record("heartbeats", len(beats))
    print(f"heartbeats: {len(beats)}")
    assert_each_once(beats, sent)
    assert_one_at_a_time(beats)
    assert [beat for beat in beats if beat.attempt > 1] == []
    assert ids_of(beats) == sent  # in the order in which they were accepted
    # On a machine so slow that the burst is not routed within two heartbeats, one more for each 200 ms.
    lasted_ms = routed_ms - answers[0]["accepted_at_ms"]
    assert len(beats) <= max(4, 2 + lasted_ms // 200)
    whole = max(beats, key=lambda beat: len(beat.ids))
    assert whole.events == min(50, len(whole.ids))
    assert (whole.digest is None) == (len(whole.ids) <= 50)


def test_a_burst_of_500_becomes_at_most_four_heartbeats(gateway: Gateway, record_property: Callable[[str, object], None]) -> None:
    """All 500 ids, in their order, never two heartbeats at once."""
    burst(gateway, record_property)


def test_a_burst_under_the_prefork_pool(gateway: Gateway, record_property: Callable[[str, object], None]) -> None:
    """The same with heartbeats in forked children."""
    burst(gateway, record_property, pool_type="prefork", concurrency=2)


def test_arrivals_during_a_heartbeat_become_one_more(gateway: Gateway) -> None:
    """Forty arrivals, 39 of them during the first heartbeat: two heartbeats."""
    gateway.plan(gate="first")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("first")
    gateway.started(1)
    later = ids("later", 39)
    gateway.submit(*later)
    wait_until(lambda: gateway.store.ledger.balance().pending == 39, PATIENCE_S, "all are routed")
    gateway.open("first")
    gateway.quiet(settled=40)
    first, second = gateway.beats()
    assert first.ids == ("first",)
    assert list(second.ids) == later
    assert first.batch_id != second.batch_id
    assert_one_at_a_time([first, second])


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_thousand_agents_interleaved(gateway: Gateway) -> None:
    """3 000 completions, each only in a heartbeat of its own agent and session."""
    gateway.configure(defaults={"runner": CALLABLE, "min_spacing_ms": 0, "flood_starts": 0}, routing={"unknown_agents": "accept"})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    agents = [f"a{n}" for n in range(1000)]
    for turn in range(3):
        gateway.producer.delay_all(
            {"completion_id": f"{agent}.{turn}", "session_key": f"agent:{agent}:main", "exit_code": 1} for agent in agents
        )
    gateway.quiet(timeout_s=400, accepted=3000, settled=3000)
    beats = gateway.beats()
    assert_each_once(beats, [f"{agent}.{turn}" for agent in agents for turn in range(3)])
    assert_one_at_a_time(beats)
    assert {beat.session_key for beat in beats} == {f"agent:{agent}:main" for agent in agents}
    assert [beat for beat in beats if {i.partition(".")[0] for i in beat.ids} != {beat.agent_id}] == []


def test_two_sessions_of_one_agent_follow_one_after_the_other(gateway: Gateway) -> None:
    """One heartbeat serves one session; both are served, never at once."""
    gateway.plan(seconds=0.1)
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    for n in range(10):
        gateway.submit(f"m{n}")
        gateway.submit(f"s{n}", session="agent:ops:side")
    gateway.quiet(settled=20)
    beats = gateway.beats()
    assert_one_at_a_time(beats)
    assert_each_once(beats, [f"{kind}{n}" for kind in "ms" for n in range(10)])
    assert [b for b in beats if {i[0] for i in b.ids} != {"m" if b.session_key.endswith(":main") else "s"}] == []
