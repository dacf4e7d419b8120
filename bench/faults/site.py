"""The processes of the campaign: one server, routers, workers with threads and with forked children, producers. What dies is replaced."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.faults.evidence import Turn, read_turns
from bench.faults.producing import completion_ids
from dispatcher.core.errors import StoreUnavailable
from tests.support.gateway import Gateway, Worker
from tests.support.server import Server
from tests.support.sources import ROOT

THREADED = {f"a{n}": "agents" for n in range(6)}
FORKED = {f"b{n}": "forked" for n in range(4)}
POOLS = THREADED | FORKED
PATIENCE_S = 120.0  # a machine with other work needs it
LOOK_S = 0.05
WORDS = {"router": ("worker", "--route"), "threads": ("worker", "--pool", "agents"), "forked": ("worker", "--pool", "forked")}
FLEET = ("router", "router", "threads", "threads", "forked", "forked")


@dataclass
class Load:
    """Completions that one producer reports, until it has all receipts."""

    prefix: str
    count: int
    per_second: float
    file: Path
    process: subprocess.Popen[bytes]

    @property
    def accepted(self) -> int:
        return len(self.file.read_text().splitlines()) if self.file.exists() else 0


@dataclass
class Site:
    """Everything that runs. `deaths` and `stops` are when which process was killed or stopped (monotonic), `kills` how often whom."""

    folder: Path
    lease: dict[str, int]
    seed: int
    deaths: dict[int, float] = field(default_factory=dict)
    stops: dict[int, float] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    planned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        # Everything answered is on disk: a completion lost by a killed server would be one that this program lost.
        self.server = Server(tcp=True, appendfsync="always")
        self.server.start()
        self.gateway = Gateway(self.folder, self.server)
        self.gateway.env["HEARTBEATS"] = str(self.folder)
        self.gateway.configure(
            defaults={"min_spacing_ms": 0, "flood_starts": 0},
            agents={agent: {"runner": self._runner(agent)} for agent in POOLS},
            pools={"agents": {}, "forked": {"agents": sorted(FORKED), "pool_type": "prefork", "concurrency": 4}},
            routing={"interval_ms": 500},
            sweep={"young_server_ms": 10_000},
            lease=self.lease,
        )
        self.turns_last(0.25)
        self.members: list[tuple[str, Worker]] = []
        self.loads: list[Load] = []

    @staticmethod
    def _runner(agent: str) -> dict[str, object]:
        return {
            "type": "command",
            "command": [sys.executable, "-I", "-S", str(ROOT / "bench/faults/turn.py")],
            "env": {"TURN_AGENT": agent},
        }

    # Processes

    def start_fleet(self) -> None:
        for kind in FLEET:
            self.start(kind)
        self.ready()

    def start(self, kind: str) -> Worker:
        worker = self.gateway.start(*WORDS[kind])
        self.members.append((kind, worker))
        return worker

    def of(self, kind: str) -> list[Worker]:
        return [worker for role, worker in self.members if role == kind and worker.alive]

    def ready(self, worker: Worker | None = None) -> None:
        """Waits until this process, or all that live, show their presence."""
        chosen = [worker] if worker else [member for _, member in self.members if member.alive]
        self.wait(lambda: all(self.gateway.is_present(one) for one in chosen), "every process is present")

    def kill(self, what: str, pid: int) -> None:
        """SIGKILL, noted."""
        self.deaths[pid] = time.monotonic()
        self.kills[what] = self.kills.get(what, 0) + 1
        os.kill(pid, signal.SIGKILL)

    def kill_member(self, kind: str, worker: Worker) -> None:
        """SIGKILL to this process alone, and a new one in its place, not yet ready."""
        self.kill(kind, worker.pid)
        worker.process.wait()
        self.start(kind)

    # Load

    def load(self, prefix: str, count: int, per_second: float) -> Load:
        load = Load(prefix, count, per_second, self.folder / f"accepted-{prefix}.txt", self._producer(prefix, count, per_second))
        self.loads.append(load)
        self.planned += completion_ids(prefix, count, list(POOLS))
        return load

    def _producer(self, prefix: str, count: int, per_second: float) -> subprocess.Popen[bytes]:
        words = [str(self.folder / f"accepted-{prefix}.txt"), prefix, str(count), str(per_second), *POOLS]
        with (self.folder / "producers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.faults.producing", *words],
                env=os.environ | self.gateway.env | {"PYTHONPATH": str(ROOT)},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def kill_producer(self, load: Load) -> None:
        self.kill("producer", load.process.pid)
        load.process.wait()
        load.process = self._producer(load.prefix, load.count, load.per_second)

    def finish(self, load: Load) -> None:
        """Waits until the producer has a receipt for each."""
        self.wait(lambda: load.process.poll() is not None, f"all of {load.prefix} is accepted", PATIENCE_S + load.count / load.per_second)
        if load.process.returncode:
            raise AssertionError(f"the producer of {load.prefix} ended with {load.process.returncode}; see {self.folder}/producers.log")

    # Looking

    def turns(self) -> list[Turn]:
        return read_turns(self.folder, POOLS)

    def running(self, parents: set[int] | None = None) -> list[Turn]:
        """Turns whose command lives, of these processes."""
        return [turn for turn in self.turns() if turn.ended is None and (parents is None or turn.parent in parents) and turn.lives]

    def turns_last(self, seconds: float, agent: str = "") -> None:
        """How long the turns that start from now on take, of all agents or of one."""
        fresh = self.folder / "seconds.new"
        fresh.write_text(f"{seconds}\n")
        fresh.replace(self.folder / f"seconds{agent}")

    def working(self) -> bool:
        """Whether anything waits or runs."""
        books = self.gateway.store.ledger.balance()
        return bool(books.unrouted or books.pending or books.running)

    def wait(self, done: Callable[[], object], what: str, limit_s: float = PATIENCE_S) -> None:
        until = time.monotonic() + limit_s
        while True:
            with suppress(StoreUnavailable):  # the server is one of those who are killed
                if done():
                    return
            if time.monotonic() > until:
                raise AssertionError(f"not within {limit_s:.0f} s: {what}")
            time.sleep(LOOK_S)

    def uptime_s(self) -> int:
        """Of the server."""
        return int(self.gateway.store.client.info("server")["uptime_in_seconds"])

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        for load in self.loads:
            load.process.kill()
            load.process.wait()
        for worker in self.gateway.workers:
            if worker.alive:
                os.killpg(worker.pid, signal.SIGCONT)
            worker.close()
        if "store" in self.gateway.__dict__:
            self.gateway.store.close()
        if self.server.alive:
            self.server.thaw()
        self.server.close()
