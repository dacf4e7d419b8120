"""A server, routers, workers and producers on hosts of their own; each of them is cut off in silence, as by a dead switch, and comes back.

Needs root and `ip`; elsewhere nothing of this runs, and the report says so at its top.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dispatcher.broker import RECONNECT_S
from dispatcher.config import Config
from dispatcher.core.models import Lease
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.exec_process import WAKE
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker
from tests.support.hosts import Hosts, why_not
from tests.support.producer import Producer
from tests.support.requests import wait_gone
from tests.support.server import Server

PLACES = [] if why_not() else ["namespaces"]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("place", PLACES)]
NAMES = ("server", "router-1", "router-2", "worker-1", "worker-2", "worker-3", "gateway-1", "gateway-2")
AGENTS = [f"a{n}" for n in range(8)]
LEASE = {"ttl_ms": 10_000, "renew_ms": 500, "margin_ms": 2_000}
CUT_S = 60.0  # in which a call to a host that is cut off must have ended; without a bound of ours it would be a quarter of an hour
Record = Callable[[str, object], None]


class Fleet(Gateway):
    """A gateway whose processes run on several hosts; each host has its own spool."""

    def __init__(self, folder: Path, server: Server, hosts: Hosts) -> None:
        self.hosts = hosts
        super().__init__(folder, server)

    def configure(self, **tables: dict[str, Any]) -> Config:
        waits = {"url": self.server.url, "socket_timeout_ms": 2_000, "connect_timeout_ms": 1_000}
        agents: dict[str, Any] = {agent_id: {} for agent_id in AGENTS}
        return super().configure(redis=waits, lease=LEASE, logging={"format": "json"}, agents=agents, **tables)

    def env_of(self, name: str) -> dict[str, str]:
        return {"WAKE_REDIS_DATA_DIR": str(self.folder / name)}

    def on(self, name: str) -> Worker:
        """A router or a worker on the host of that name."""
        words = ("--route",) if name.startswith("router") else ("--pool", "agents")
        return self.start("worker", *words, host=self.hosts[name], env=self.env_of(name))

    def holds(self, worker: Worker) -> bool:
        return any(beat.parent == worker.pid for beat in self.beats())

    def wake(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """The command, on that host."""
        runs = self.hosts[name].runs
        env = self.process_env() | self.env_of(name)
        return subprocess.run([*runs, *WAKE, *words], env=env, cwd=self.folder, capture_output=True, text=True, timeout=CUT_S, check=False)


@pytest.fixture
def fleet(tmp_path: Path, place: str) -> Iterator[Fleet]:
    """Eight hosts, the server on the first; the test starts what it needs on the others."""
    assert place
    with Hosts(*NAMES) as hosts, Server(at=hosts["server"]) as server:
        fleet = Fleet(tmp_path, server, hosts)
        try:
            yield fleet
        finally:
            for name in NAMES:
                hosts[name].heal()
            fleet.close()


@pytest.fixture
def producers(fleet: Fleet) -> Iterator[list[Producer]]:
    """Programs on two hosts that call `.delay()`."""
    made = [Producer(fleet.process_env() | fleet.env_of(name), fleet.hosts[name]) for name in ("gateway-1", "gateway-2")]
    yield made
    for one in made:
        one.close()


def report(producer: Producer, fresh: list[str]) -> None:
    """All accepted, each for the agent that its id begins with."""
    said = [{"session_key": f"agent:{i.partition('.')[0]}:main", "completion_id": i, "exit_code": 1} for i in fresh]
    answers = producer.delay_all(said)
    assert [answer.get("completion_id") for answer in answers] == fresh, answers


def load(prefix: str, count: int) -> list[str]:
    return [f"{agent_id}.{prefix}.{n}" for n in range(count) for agent_id in AGENTS]


def assert_sound(fleet: Fleet, sent: list[str]) -> None:
    """Everything settled once, by its owner, one heartbeat of an agent at a time over all hosts, and the books balance."""
    books = fleet.quiet(accepted=len(sent), settled=len(sent))
    assert (books.balance, books.dead, books.dropped) == (0, 0, 0)
    beats = fleet.beats()
    assert_one_at_a_time(beats)
    assert_each_once(beats, sent)
    foreign = [beat for beat in beats if any(not i.startswith(f"{beat.agent_id}.") for i in beat.ids)]
    assert not foreign
    audit = fleet.wake("gateway-2", "audit", "--deep", "--json")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert json.loads(audit.stdout)["findings"] == []


def test_hosts_share_the_work(fleet: Fleet, producers: list[Producer]) -> None:
    """Two routers, three workers and two producers, each on a host: all comes through, and no host is left out."""
    workers = [fleet.on(name) for name in NAMES[1:6]][2:]
    fleet.ready()
    fleet.plan(seconds=0.1)
    sent: list[str] = []

    def everybody_worked() -> bool:
        fresh = load(f"r{len(sent)}", 2)
        for half, producer in zip((fresh[::2], fresh[1::2]), producers, strict=True):
            report(producer, half)
        sent.extend(fresh)
        fleet.quiet(settled=len(sent))
        return all(map(fleet.holds, workers))

    wait_until(everybody_worked, PATIENCE_S, "a heartbeat on each of the three hosts")
    assert_sound(fleet, sent)
    seen = {holder.split(".")[2] for holder in fleet.store.ledger.presences()}
    assert seen >= {"worker-1", "worker-2", "worker-3"}


@pytest.mark.parametrize("restarted", [False, True], ids=["server-stays", "server-restarts"])
def test_a_worker_that_is_cut_off(fleet: Fleet, producers: list[Producer], restarted: bool, record_property: Record) -> None:
    """In mid-heartbeat it gives up on its own, before its lease is anybody else's; the same batch runs elsewhere; healed, it works again.

    A server that was restarted meanwhile sees no presence of it, as of one that died; yet its command lives until its trust ends.
    """
    fleet.configure(sweep={"young_server_ms": None})  # as it is by default: no early reclaim on a young server
    workers = [fleet.on(name) for name in ("router-1", "worker-1", "worker-2", "worker-3")][1:]
    fleet.ready()
    fleet.plan("a0", gate="goes-on", stubborn=True)
    report(producers[0], ["a0.1"])
    first = fleet.started(1)[0]
    holder = fleet.running(first.parent)
    assert holder.host
    holder.host.cut()
    if restarted:
        fleet.server.restart(graceful=False)
    wait_gone(first.pid)
    second = fleet.started(2)[1]
    assert (second.batch_id, second.ids, second.attempt) == (first.batch_id, first.ids, 2)
    assert second.token > first.token
    assert second.parent != first.parent
    lost_ms = said_ms(holder, "lease lost: not renewed in time")
    again_ms = [record["at"] for record in fleet.store.ledger.records("a0") if record["what"] == "begun"][1]
    assert lost_ms < again_ms
    fleet.open("goes-on")
    fleet.quiet(accepted=1, settled=1)
    late = Lease(agent_id="a0", pool="agents", token=first.token, holder="whoever")
    assert fleet.store.mailbox.settle(late, first.batch_id, "ran", {}).status == "STALE_TOKEN"
    holder.host.heal()
    healed = time.monotonic()
    for worker in workers:
        if worker is not holder:
            worker.signal(signal.SIGTERM)
            assert worker.ends() == 0
    sent = ["a0.1", *load("later", 1)]
    report(producers[1], sent[1:])
    assert_sound(fleet, sent)
    back_s = round(time.monotonic() - healed, 1)
    assert {beat.parent for beat in fleet.beats()[2:]} == {holder.pid}
    assert fleet.records("a0").count("ran") == 2
    record_property("back_s", back_s)
    print(f"taken over {again_ms - lost_ms} ms after the holder gave up; settled again {back_s} s after the link was back")


def test_idle_workers_that_are_cut_off_for_long(fleet: Fleet, producers: list[Producer], record_property: Record) -> None:
    """One can be ended meanwhile. The other, whose listening connection is found dead too, works when the link is back, and alone."""
    _, staying, leaving = [fleet.on(name) for name in ("router-1", "worker-1", "worker-2")]
    fleet.ready()
    for worker in (staying, leaving):
        worker.hears(" ready.")
        assert worker.host
        worker.host.cut()
    staying.hears("Trying again in 5.00 seconds")
    leaving.signal(signal.SIGTERM)
    assert leaving.ends() == 0
    report(producers[0], ["a0.1"])
    assert staying.host
    staying.host.heal()
    healed = time.monotonic()
    assert_sound(fleet, ["a0.1"])
    record_property("back_s", round(time.monotonic() - healed, 1))
    assert staying.alive
    assert max(map(float, re.findall(r"Trying again in (\d+\.\d+) seconds", staying.said()))) == RECONNECT_S


def said_ms(worker: Worker, message: str) -> float:
    """When the worker logged this, in ms of the clock that all hosts here share."""
    worker.hears(message)
    line = next(json.loads(text) for text in worker.said().splitlines() if message in text)
    return datetime.fromisoformat(line["at"]).timestamp() * 1000


def test_a_router_that_is_cut_off(fleet: Fleet, producers: list[Producer]) -> None:
    """The other one routes on, what the first had in its hands included; healed, it routes again by itself."""
    first, second, *_ = [fleet.on(name) for name in ("router-1", "router-2", "worker-1")]
    fleet.ready()
    sent: list[str] = []
    for turn in range(3):
        fresh = load(f"before{turn}", 5)
        report(producers[turn % 2], fresh)
        sent += fresh
    fleet.hosts["router-1"].cut()
    fresh = load("during", 5)
    report(producers[0], fresh)
    sent += fresh
    fleet.quiet(accepted=len(sent), settled=len(sent))
    fleet.hosts["router-1"].heal()
    second.signal(signal.SIGTERM)
    assert second.ends() == 0
    fresh = load("after", 5)
    report(producers[1], fresh)
    assert_sound(fleet, [*sent, *fresh])
    assert first.alive


def test_a_producer_that_is_cut_off(fleet: Fleet, producers: list[Producer], record_property: Record) -> None:
    """`.delay()` says so in seconds, `wake exec` keeps its report; healed, what was kept comes in once, and a repeated id is known."""
    for name in ("router-1", "worker-1"):
        fleet.on(name)
    fleet.ready()
    report(producers[0], ["a0.0"])
    fleet.hosts["gateway-1"].cut()
    begun = time.monotonic()
    refused = producers[0].delay(session_key="agent:a0:main", completion_id="a0.1", exit_code=1)
    failed_s = round(time.monotonic() - begun, 1)
    assert refused["error"] == "StoreUnavailable", refused
    report(producers[1], ["a1.0"])
    words = ("exec", "--session-key", "agent:a0:main", "--id", "a0.2", "--", sys.executable, "-c", "raise SystemExit(3)")
    kept = fleet.wake("gateway-1", *words)
    assert kept.returncode == 3
    assert "kept in" in kept.stderr
    assert len(list((fleet.folder / "gateway-1" / "spool").glob("*.json"))) == 1
    status = fleet.wake("gateway-1", "status")
    assert status.returncode == os.EX_TEMPFAIL, status
    fleet.hosts["gateway-1"].heal()
    report(producers[0], ["a0.1"])
    assert producers[0].delay(session_key="agent:a0:main", completion_id="a0.1", exit_code=1)["duplicate"]
    for sent in ("1 ", "0 "):
        flushed = fleet.wake("gateway-1", "spool", "flush")
        assert flushed.returncode == 0, flushed
        assert sent in flushed.stdout + flushed.stderr, flushed
    assert_sound(fleet, ["a0.0", "a1.0", "a0.1", "a0.2"])
    record_property("failed_s", failed_s)
    print(f".delay() said that no server answers after {failed_s} s")
