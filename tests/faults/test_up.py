"""`up`: one supervisor over an embedded server, a router and a worker. Restarts what dies, drains when asked, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.core.errors import StoreUnavailable
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker, ids
from tests.support.recorder import lives
from tests.support.requests import read, wait_gone


class Embedded(Gateway):
    """A gateway whose server belongs to `up`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, None)
        self.configure(lease={"grace_ms": 60_000})

    def up(self) -> Worker:
        """Started, and ready by its own word."""
        supervisor = self.start("up")
        supervisor.hears("ready: router, workers of agents")
        return supervisor

    def children(self, supervisor: Worker) -> dict[str, int]:
        """Process ids of server, router and worker."""
        found = {}
        tasks = Path(f"/proc/{supervisor.pid}/task").glob("*/children")
        for pid in {int(child) for task in tasks for child in read(task).split()}:
            words = read(Path(f"/proc/{pid}/cmdline"))
            if lives(pid) and words:
                found["router" if b"--route" in words else "worker" if b"--pool" in words else "server"] = pid
        return found

    def await_new(self, supervisor: Worker, what: str, old_pid: int) -> None:
        wait_until(lambda: self.children(supervisor).get(what) not in (None, old_pid), PATIENCE_S, f"a new {what} runs")

    def reachable(self) -> bool:
        try:
            return bool(self.store.ledger.now_ms())
        except StoreUnavailable:
            return False

    def present(self, role: str, pid: int) -> bool:
        return any(holder.startswith(f"{role}.") and f".{pid}." in holder for holder in self.store.ledger.presences())

    def close(self) -> None:
        super().close()
        state = self.folder / ".wake" / "server.json"
        if state.exists() and lives(pid := json.loads(state.read_text())["pid"]):
            os.kill(pid, signal.SIGKILL)  # it is not a child of ours, and outlives its supervisor on purpose
            wait_gone(pid)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    gateway = Embedded(tmp_path)
    try:
        yield gateway
    finally:
        gateway.close()


def synced(embedded: Embedded) -> None:
    """Waits until everything that the server holds now is on disk: it says so of what the same connection has written."""
    with embedded.store.client.client() as connection:
        connection.incr("synced")
        assert connection.waitaof(1, 0, 0)[0] == 1


def test_what_dies_is_started_again(embedded: Embedded) -> None:
    """Router, worker and server are killed one after the other, each under load: a new one serves, and nothing is lost."""
    embedded.plan(seconds=0.1)
    supervisor = embedded.up()
    sent: list[str] = []
    for victim in ("router", "worker", "server"):
        before = embedded.children(supervisor)
        fresh = ids(victim, 20)
        embedded.submit(*fresh)
        sent += fresh
        if victim == "server":  # its file is synced once a second: what was synced survives its death
            embedded.quiet(accepted=len(sent), settled=len(sent))
            synced(embedded)
        os.kill(before[victim], signal.SIGKILL)
        embedded.await_new(supervisor, victim, before[victim])
        wait_until(embedded.reachable, PATIENCE_S, "the server answers")
        embedded.quiet(accepted=len(sent), settled=len(sent))
    after = embedded.children(supervisor)
    assert set(after) == {"router", "worker", "server"}
    wait_until(lambda: embedded.present("router", after["router"]), PATIENCE_S, "the router is present")
    wait_until(lambda: embedded.present("worker", after["worker"]), PATIENCE_S, "the worker is present")
    embedded.submit("last")
    embedded.quiet(accepted=len(sent) + 1, settled=len(sent) + 1)
    assert_one_at_a_time(embedded.beats())
    assert_each_once(embedded.beats(), [*sent, "last"])


@pytest.mark.slow
def test_it_drains_when_asked_to_end(embedded: Embedded) -> None:
    """SIGTERM in mid-heartbeat: the heartbeat ends and settles, all processes are gone, the status is 0; the data is there next time."""
    embedded.plan(gate="goes-on")
    supervisor = embedded.up()
    children = embedded.children(supervisor)
    embedded.submit("c1")
    embedded.started(1)
    supervisor.signal(signal.SIGTERM)
    supervisor.hears("Warm shutdown")
    embedded.open("goes-on")
    assert supervisor.ends() == 0
    wait_gone(*children.values())
    embedded.up()
    embedded.quiet(accepted=1, settled=1)
    (beat,) = embedded.beats()
    assert beat.attempt == 1


@pytest.mark.slow
def test_its_processes_follow_a_supervisor_that_was_killed(embedded: Embedded) -> None:
    """SIGKILL of the supervisor: router and worker drain and end by themselves; the next `up` takes over server and data."""
    embedded.plan(gate="goes-on")
    supervisor = embedded.up()
    children = embedded.children(supervisor)
    embedded.submit("c1")
    (beat,) = embedded.started(1)
    supervisor.kill()
    wait_gone(children["router"])
    embedded.submit("waits")
    embedded.open("goes-on")
    wait_gone(children["worker"], beat.pid)
    assert lives(children["server"])
    next_one = embedded.up()
    wait_gone(children["server"])
    assert set(embedded.children(next_one)) == {"router", "worker", "server"}
    embedded.quiet(accepted=2, settled=2)
    assert [b.ids for b in embedded.beats()] == [("c1",), ("waits",)]
    assert [b.attempt for b in embedded.beats()] == [1, 1]


def test_a_second_supervisor_on_the_same_folder_is_refused(embedded: Embedded) -> None:
    """It says why and ends; the first goes on undisturbed."""
    first = embedded.up()
    second = embedded.start("up")
    assert second.ends() != 0
    assert "another `wake up` already runs" in second.said()
    embedded.submit("c1")
    embedded.quiet(settled=1)
    assert first.alive
