"""The primary dies, or is changed by hand, under router, workers and producers that found it through sentinels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.producer import Producer
from tests.support.sentinels import Watched

AGENTS = [f"a{n}" for n in range(4)]
REPEATED = 100
LONG = "long"  # an agent whose heartbeat lasts through it all

pytestmark = pytest.mark.slow


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Watched() as watched:
        yield watched


@pytest.fixture
def gateway(watched: Watched, tmp_path: Path) -> Iterator[Gateway]:
    """A router and two workers at work on whoever is primary; the renewals are frequent, so that a test need not wait for them."""
    gateway = Gateway(tmp_path, None, watched.url)
    gateway.configure(agents={agent_id: {} for agent_id in [*AGENTS, LONG]}, lease={"renew_ms": 500, "margin_ms": 500})
    gateway.start_router()
    gateway.start_worker()
    gateway.start_worker()
    try:
        gateway.ready()
        yield gateway
    finally:
        gateway.close()


class Traffic:
    """A producer that reports without a pause; a report without a receipt is repeated with its id until it has one."""

    def __init__(self, gateway: Gateway) -> None:
        self.accepted: list[str] = []
        self._failovers: list[int] = []  # how many were accepted before each
        self._producer = Producer(gateway.env)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.accepted.append(self._report(len(self.accepted)))

    def _report(self, number: int) -> str:
        completion_id, session = f"t-{number:05d}", f"agent:{AGENTS[number % len(AGENTS)]}:main"
        while "error" in self._producer.delay(completion_id=completion_id, session_key=session, exit_code=1):
            self._stop.wait(0.05)
        return completion_id

    def fails_over(self) -> None:
        """The primary is about to die: what it answers last may be lost with it."""
        self._failovers.append(len(self.accepted))

    def flows(self, more: int = 40) -> None:
        """Returns when that many more were accepted."""
        wanted = len(self.accepted) + more
        wait_until(lambda: len(self.accepted) >= wanted, PATIENCE_S, f"{more} more completions are accepted")

    def end(self) -> list[str]:
        """Everything that was accepted. What was reported around a failover is reported again, as its page says."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        for count in self._failovers:
            for number in range(max(0, count - REPEATED), min(len(self.accepted), count + REPEATED)):
                self._report(number)
        self._producer.close()
        return self.accepted


def long_heartbeat(gateway: Gateway) -> None:
    """One starts and lasts until its gate opens."""
    gateway.plan(LONG, gate="long-enough")
    gateway.submit("long-1", session=f"agent:{LONG}:main")
    gateway.started(1, LONG)


def all_settled_once(gateway: Gateway, accepted: list[str]) -> None:
    """Nothing is lost, doubled or run by a foreign agent, the long heartbeat was the only one of its agent, no process was started anew."""
    gateway.open("long-enough")
    gateway.quiet(settled=len(accepted) + 1)
    beats = gateway.beats()
    assert_one_at_a_time(beats)
    assert_each_once(beats, [*accepted, "long-1"])
    (long,) = gateway.beats(LONG)
    assert (long.attempt, long.ids) == (1, ("long-1",))
    for beat in beats:
        assert beat.agent_id == LONG or {AGENTS[int(name.removeprefix("t-")) % len(AGENTS)] for name in beat.ids} == {beat.agent_id}
    assert all(worker.alive for worker in gateway.workers)


def test_a_primary_that_is_killed_and_comes_back_demoted(watched: Watched, gateway: Gateway) -> None:
    """Then the other one is killed: the first serves again, with everything that was accepted meanwhile."""
    traffic = Traffic(gateway)
    long_heartbeat(gateway)
    traffic.flows()
    traffic.fails_over()
    first = watched.kill()
    traffic.flows()
    renewals = gateway.renewals(LONG)
    wait_until(lambda: gateway.renewals(LONG) >= renewals + 2, PATIENCE_S, "the lease is renewed on the new primary")
    first.start()
    wait_until(lambda: watched.follows(first), PATIENCE_S, "the old primary follows the new one")
    traffic.flows()
    traffic.fails_over()
    watched.kill()
    assert watched.primary is first
    traffic.flows()
    all_settled_once(gateway, traffic.end())


def test_a_primary_that_is_changed_by_hand(watched: Watched, gateway: Gateway) -> None:
    """Nobody dies: the old primary waits until the new one has everything."""
    traffic = Traffic(gateway)
    long_heartbeat(gateway)
    traffic.flows()
    before = watched.primary
    watched.move("COORDINATED")
    traffic.flows()
    assert watched.primary is not before
    wait_until(lambda: watched.follows(before), PATIENCE_S, "the old primary follows the new one")
    gateway.ready()
    traffic.flows()
    all_settled_once(gateway, traffic.end())
