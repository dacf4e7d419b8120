"""A cadence lives in the due index: no beat process, no completion that begins it, nothing lost by a restart."""

from __future__ import annotations

import signal

import pytest

from tests.support.beats import assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import RECORDER, Gateway

TICKING = {"runner": RECORDER, "every": "1s"}


def test_an_agent_that_never_had_a_completion_ticks_alone(gateway: Gateway) -> None:
    """Each tick is one heartbeat of its own agent, in its main session, at its own phase; who has no cadence stays asleep."""
    gateway.configure(agents={"ops": TICKING, "quiet": {}})
    gateway.start_worker()
    beats = gateway.started(3)
    assert {beat.agent_id for beat in beats} == {"ops"}
    assert {beat.session_key for beat in beats} == {"agent:ops:main"}
    assert all(len(beat.ids) == 1 and beat.ids[0].startswith("tick:ops:") for beat in beats)
    assert len({int(beat.ids[0].split(":")[2]) % 1000 for beat in beats}) == 1, "ticks are whole intervals apart"
    assert_one_at_a_time(beats)
    assert [beat.events for beat in beats] == [0] * len(beats), "a tick is no event"


@pytest.mark.slow
def test_what_was_missed_while_nobody_lived_is_one_tick(gateway: Gateway) -> None:
    """The pending tick lies in the store: after an outage of several intervals one heartbeat makes up for all of them."""
    gateway.configure(agents={"ops": TICKING})
    worker = gateway.start_worker()
    gateway.started(1)
    worker.kill()
    seconds, _ = gateway.store.client.time()
    wait_until(lambda: gateway.store.client.time()[0] > seconds + 4, 30, "several ticks are missed")
    missed = dict(gateway.store.cadences.pending("agents"))["ops"].next_ms
    gateway.start_worker()
    wait_until(lambda: max(ticks(gateway)) > missed, 40, "the cadence goes on")
    assert ticks(gateway).count(missed) == 1
    assert min(tick for tick in ticks(gateway) if tick > missed) > missed + 3_000, "the others that were missed are none of their own"


def test_a_tick_joins_the_event_that_waits(gateway: Gateway) -> None:
    """One heartbeat with both; the request's ids are exactly those that are settled, and the books count the tick."""
    gateway.configure(agents={"ops": TICKING | {"window_ms": 3_000}})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.started(1)
    gateway.submit("c1")
    wait_until(lambda: any("c1" in beat.ids for beat in gateway.beats()), 30, "the completion runs")
    joined = next(beat for beat in gateway.beats() if "c1" in beat.ids)
    assert any(one.startswith("tick:") for one in joined.ids)
    for worker in gateway.workers:
        worker.signal(signal.SIGTERM)
    for worker in gateway.workers:
        worker.ends()
    balance = gateway.quiet()
    assert balance.accepted == balance.settled == sum(len(beat.ids) for beat in gateway.beats())


def ticks(gateway: Gateway) -> list[int]:
    """The due times of the ticks that became heartbeats, each once, however many attempts it took."""
    batches = {beat.batch_id: beat.ids[0] for beat in gateway.beats()}
    return [int(one.split(":")[2]) for one in batches.values()]
