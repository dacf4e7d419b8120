"""Workers that are killed, stand still or are asked to leave in mid-heartbeat: the batch runs again as itself, and never twice at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.beats import Beat, assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker, ids
from tests.support.requests import pid_in, wait_gone

Record = Callable[[str, object], None]


def in_mid_heartbeat(gateway: Gateway, workers: int = 2, **tables: dict[str, Any]) -> Beat:
    """Two workers, a heartbeat of ops that goes on until the gate opens, and a completion that came meanwhile."""
    gateway.configure(**tables)
    gateway.plan(gate="goes-on", child="child", stubborn=True)
    gateway.start_router()
    for _ in range(workers):
        gateway.start_worker()
    gateway.ready()
    gateway.submit("c1", "c2")
    beat = gateway.started(1)[0]
    pid_in(gateway.folder / "child")
    gateway.submit("later")
    return beat


def begun_ms(gateway: Gateway) -> list[int]:
    return [record["at"] for record in gateway.store.ledger.records("ops") if record["what"] == "begun"]


def assert_taken_over(gateway: Gateway, first: Beat) -> Beat:
    """The second heartbeat is the same batch as its second attempt; then everything ends well."""
    second = gateway.started(2)[1]
    gateway.open("goes-on")
    gateway.quiet(accepted=3, settled=3)
    assert (second.batch_id, second.ids, second.attempt) == (first.batch_id, first.ids, 2)
    assert second.token > first.token
    beats = gateway.beats()
    assert [beat.ids for beat in beats] == [first.ids, first.ids, ("later",)]
    assert_one_at_a_time(beats)
    assert_each_once(beats, ["c1", "c2", "later"])
    return second


def test_a_killed_worker_is_replaced_before_its_lease_ends(gateway: Gateway, record_property: Record) -> None:
    """SIGKILL in mid-heartbeat, another worker alive: same batch, attempt 2, higher token; the old command is gone before."""
    first = in_mid_heartbeat(gateway)
    child = pid_in(gateway.folder / "child")
    lease_ends_ms = gateway.lease_ends_ms()
    gateway.running(first.parent).kill()
    killed_ms = gateway.store.ledger.now_ms()
    wait_gone(first.pid, child)
    assert_taken_over(gateway, first)
    _, again_ms, *_ = begun_ms(gateway)
    assert again_ms < lease_ends_ms
    assert gateway.records()[:4] == ["begun", "reclaimed", "taken-over", "begun"]
    record_property("take_over_ms", again_ms - killed_ms)
    print(f"take-over after SIGKILL: {again_ms - killed_ms} ms")


def test_a_killed_child_of_a_prefork_worker(gateway: Gateway, record_property: Record) -> None:
    """The lease was held by the child, so its own death is what counts; the worker itself lives on and may take over."""
    first = in_mid_heartbeat(gateway, workers=1, pools={"agents": {"pool_type": "prefork", "concurrency": 2}})
    child, worker = pid_in(gateway.folder / "child"), gateway.workers[-1]
    assert first.parent != worker.pid
    lease_ends_ms = gateway.lease_ends_ms()
    os.kill(first.parent, signal.SIGKILL)
    killed_ms = gateway.store.ledger.now_ms()
    wait_gone(first.pid, child)
    assert_taken_over(gateway, first)
    again_ms = begun_ms(gateway)[1]
    assert again_ms < lease_ends_ms
    assert worker.alive
    record_property("take_over_ms", again_ms - killed_ms)
    print(f"take-over after SIGKILL of a pool child: {again_ms - killed_ms} ms")


def test_a_killed_prefork_worker(gateway: Gateway, record_property: Record) -> None:
    """Only the parent is killed: its children end, their heartbeats with them, and another worker takes over."""
    first = in_mid_heartbeat(gateway, pools={"agents": {"pool_type": "prefork", "concurrency": 2}})
    gateway.running(os.getpgid(first.parent)).kill()
    killed_ms = gateway.store.ledger.now_ms()
    assert_taken_over(gateway, first)
    print(f"take-over after SIGKILL of a prefork worker: {begun_ms(gateway)[1] - killed_ms} ms")
    record_property("take_over_ms", begun_ms(gateway)[1] - killed_ms)


@pytest.mark.slow
def test_a_holder_that_stood_still_is_refused(gateway: Gateway) -> None:
    """Its command dies with its trust, another worker takes over after the lease; when it goes on, nothing of what it says counts."""
    first = in_mid_heartbeat(gateway, lease={"ttl_ms": 10_000, "renew_ms": 500, "margin_ms": 500})
    child, holder = pid_in(gateway.folder / "child"), gateway.running(first.parent)
    holder.signal(signal.SIGSTOP)
    wait_gone(first.pid, child)
    second = assert_taken_over(gateway, first)
    assert second.parent != first.parent
    holder.signal(signal.SIGCONT)
    holder.hears("(STALE_TOKEN)")
    balance = gateway.quiet(accepted=3, settled=3)
    assert balance.settled == 3
    assert gateway.records().count("ran") == 2
    assert len(gateway.beats()) == 3
    gateway.submit("again")
    gateway.quiet(settled=4)


@pytest.mark.parametrize("pool_type", ["threads", "prefork"])
def test_a_leaving_worker_lets_its_heartbeat_finish(gateway: Gateway, pool_type: str) -> None:
    """SIGTERM: what runs ends and settles, nothing new begins there, the exit code is 0."""
    pools = {"agents": {"pool_type": pool_type, "concurrency": 2}}
    first = in_mid_heartbeat(gateway, workers=1, pools=pools, lease={"grace_ms": 3_600_000})
    leaving = gateway.workers[-1]
    leaving.signal(signal.SIGTERM)
    leaving.hears("nothing begins here any more")
    gateway.submit("lab", session="agent:ops:other")
    gateway.open("goes-on")
    assert leaving.ends() == 0
    assert [beat.batch_id for beat in gateway.beats()] == [first.batch_id]
    assert gateway.records() == ["begun", "ran"]
    wait_until(lambda: not gateway.is_present(leaving), PATIENCE_S, "the server has seen it leave")
    gateway.start_worker()
    gateway.quiet(accepted=4, settled=4)
    assert {beat.attempt for beat in gateway.beats()} == {1}


@pytest.mark.parametrize("pool_type", ["threads", pytest.param("prefork", marks=pytest.mark.slow)])
def test_a_leaving_worker_hands_back_what_takes_too_long(gateway: Gateway, pool_type: str, record_property: Record) -> None:
    """After the grace period: the same batch at once elsewhere, as attempt 2, and nothing counts as failed."""
    first = in_mid_heartbeat(
        gateway,
        lease={"grace_ms": 300},
        pools={"agents": {"pool_type": pool_type, "concurrency": 2}},
        defaults={"max_failures": 1, "max_deliveries": 1},
    )
    leaving = gateway.running(first.parent) if pool_type == "threads" else gateway.running(os.getpgid(first.parent))
    leaving.signal(signal.SIGTERM)
    assert_taken_over(gateway, first)
    assert leaving.ends() == 0
    handed_ms = next(record["at"] for record in gateway.store.ledger.records("ops") if record["what"] == "handed-back")
    again_ms = begun_ms(gateway)[1]
    assert gateway.records()[:3] == ["begun", "handed-back", "begun"]
    record_property("take_over_ms", again_ms - handed_ms)
    print(f"from hand-back to the next start: {again_ms - handed_ms} ms")


@pytest.mark.slow
def runs_in(gateway: Gateway, worker: Worker) -> bool:
    return any(beat.ended is None and beat.parent == worker.pid for beat in gateway.beats())


def test_workers_that_are_killed_again_and_again_lose_nothing(gateway: Gateway) -> None:
    """A storm of SIGKILL under load: every completion in one batch, tokens grow, the books balance."""
    gateway.configure(agents={f"a{n}": {} for n in range(8)}, defaults={"max_deliveries": 1000})
    gateway.plan(seconds=0.1)
    gateway.start_router()
    sent: list[str] = []
    for storm in range(20):
        if storm >= 5 and any(beat.ended is None for beat in gateway.beats()):
            break  # a heartbeat may end between our look and the kill
        doomed = gateway.start_worker()
        gateway.ready()
        for n in range(8):
            fresh = ids(f"a{n}.{storm}", 5)
            gateway.submit(*fresh, session=f"agent:a{n}:main")
            sent += fresh
        wait_until(partial(runs_in, gateway, doomed), PATIENCE_S, "a heartbeat runs")
        doomed.kill()
    gateway.start_worker()
    gateway.quiet(accepted=len(sent), settled=len(sent))
    beats = gateway.beats()
    assert [beat for beat in beats if beat.attempt > 1], "no kill hit a heartbeat"
    assert_one_at_a_time(beats)
    assert_each_once(beats, sent)
