"""A whole gateway of real processes: server, router, workers, producer. Everything is killed at the end, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from celery import Celery

from dispatcher.config import Config, load
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.models import Receipt
from dispatcher.embedded import server_url
from dispatcher.store.books import Balance
from dispatcher.store.connect import kombu_url
from dispatcher.store.opened import Store, open_store
from dispatcher.submit import completion_of, submission_of
from tests.support.beats import Beat, read_beats
from tests.support.gates import wait_until
from tests.support.hosts import Host, in_host
from tests.support.producer import Producer
from tests.support.recorder import GATES, PLANS, lives
from tests.support.requests import read
from tests.support.server import Server
from tests.support.sources import ROOT

PATIENCE_S = 90.0
RECORDER = {"type": "command", "command": [sys.executable, "-I", "-S", str(ROOT / "tests/support/recorder.py")]}
CALLABLE = {"type": "python", "target": "tests.support.recorder:beat"}
LOG_LINES = 60
PATIENT = {"WAKE_REDIS_SOCKET_TIMEOUT_MS": "60000", "WAKE_REDIS_CONNECT_TIMEOUT_MS": "60000"}  # a server that stands still fails no test
Table = dict[str, Any]


class Worker:
    """One process of ours, in a process group of its own; what it says goes to a file."""

    def __init__(self, words: Sequence[str], log: Path, cwd: Path, env: dict[str, str], host: Host | None = None) -> None:
        self.log, self.host = log, host
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                in_host(host, [sys.executable, "-P", "-m", "workers", *words]),
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def hears(self, word: str, times: int = 1) -> None:
        """Waits until the log has the word."""
        wait_until(lambda: self.said().count(word) >= times, PATIENCE_S, f"{self.log.name} says {word!r} {times} times")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to this process alone."""
        self.process.kill()
        self.process.wait()

    def ends(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(timeout_s)

    def close(self) -> None:
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


class Gateway:
    """One store and the processes that serve it. `configure` first; a later call is what processes started afterwards see."""

    def __init__(self, folder: Path, server: Server | None, url: str | None = None) -> None:
        """`url`: of a server that is not ours to start and end; None and no server is the embedded one."""
        self.folder, self._server, self._url = folder, server, server.url if server else url
        self.workers: list[Worker] = []
        for name in (PLANS, GATES):
            (folder / name).mkdir()
        self.config_file = folder / "wake.toml"
        self.env = {"WAKE_CONFIG": str(self.config_file), "HEARTBEATS": str(folder)}
        self.configure()

    @property
    def server(self) -> Server:
        assert self._server, "the server of this gateway is not its own"
        return self._server

    # Configuration

    def configure(self, **tables: Table) -> Config:
        """Writes wake.toml: agent ops, the recording runner, no spacing, early reclaim on a young server; `tables` over that."""
        base: dict[str, Table] = {
            "redis": {"url": self._url} if self._url else {},
            "defaults": {"runner": RECORDER, "min_spacing_ms": 0, "flood_starts": 0},
            "agents": {"ops": {}},
            "routing": {"interval_ms": 50},
            "sweep": {"young_server_ms": 0},
        }
        merged = {name: base.get(name, {}) | tables.get(name, {}) for name in base | tables}
        self.config_file.write_text("\n".join(toml_of(merged)))
        self.config = load(self.config_file, PATIENT)
        return self.config

    def plan(self, agent_id: str = "any", **plan: Any) -> None:
        """What the next heartbeats of an agent do; see recorder.plan_of."""
        fresh = self.folder / PLANS / f"{agent_id}.new"
        fresh.write_text(json.dumps(plan))
        fresh.replace(self.folder / PLANS / f"{agent_id}.json")

    def open(self, gate: str) -> None:
        """Heartbeats that wait for this gate go on."""
        (self.folder / GATES / gate).touch()

    # Processes

    def start(self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None, host: Host | None = None) -> Worker:
        """`python -m workers <words>`, from a folder that is not the repository, on that host. Not yet ready."""
        log = self.folder / f"{len(self.workers)}-{'-'.join(words).replace('/', '_')}.log"
        worker = Worker(words, log, cwd or self.folder, self.process_env() | (env or {}), host)
        self.workers.append(worker)
        return worker

    def process_env(self) -> dict[str, str]:
        """The environment of a process of this gateway: its configuration, and nothing else of ours."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAKE_")}
        return inherited | self.env | {"PYTHONPATH": str(ROOT)}

    def start_router(self) -> Worker:
        return self.start("worker", "--route")

    def start_worker(self, *words: str) -> Worker:
        return self.start("worker", *(words or ("--pool", "agents")))

    def ready(self) -> None:
        """Waits until every process that was started and lives shows its presence."""
        wait_until(lambda: all(self.is_present(w) for w in self.workers if w.alive), PATIENCE_S, "every process is present")

    def is_present(self, worker: Worker) -> bool:
        return any(f".{worker.pid}." in holder for holder in self.store.ledger.presences())

    def running(self, pid: int) -> Worker:
        """The process of this gateway that has this id."""
        return next(worker for worker in self.workers if worker.pid == pid)

    # Producers

    @cached_property
    def producer(self) -> Producer:
        return Producer(self.env | PATIENT)

    @cached_property
    def store(self) -> Store:
        return open_store(self.config, server_url(self.config))

    def submit(self, *completion_ids: str, session: str = "agent:ops:main", **words: Any) -> list[Receipt]:
        """Accepted without a message: a router's own timer finds them."""
        said = {"session_key": session, "exit_code": 1} | words
        entries = [submission_of(completion_of(said | {"completion_id": completion_id})) for completion_id in completion_ids]
        return [receipt for receipt, _ in self.store.inbox.submit_all(entries)]

    def foreign(self, send: Callable[[Celery], object]) -> None:
        """Lets a Celery program that knows nothing of us, but the server, send something."""
        with Celery("foreign", broker=kombu_url(self.server.url), set_as_current=False) as app:
            app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 5}
            send(app)

    # What came of it

    def beats(self, agent_id: str | None = None) -> list[Beat]:
        return [beat for beat in read_beats(self.folder) if agent_id in (None, beat.agent_id)]

    def started(self, count: int, agent_id: str | None = None, timeout_s: float = PATIENCE_S) -> list[Beat]:
        """Waits until that many heartbeats have started."""
        wait_until(lambda: len(self.beats(agent_id)) >= count, timeout_s, f"{count} heartbeats of {agent_id or 'anybody'}")
        return self.beats(agent_id)

    def quiet(self, timeout_s: float = PATIENCE_S, **expected: int) -> Balance:
        """Waits until nothing waits or runs and the books are as expected, as in quiet(settled=40, dead=0); then they balance."""
        seen: list[Balance] = []

        def at_rest() -> bool:
            try:
                seen[:] = [self.store.ledger.balance()]
            except StoreUnavailable:  # a server that was killed reads its data
                return False
            moving = seen[0].unrouted or seen[0].pending or seen[0].running or seen[0].balance
            return not moving and all(getattr(seen[0], name) == count for name, count in expected.items())

        try:
            wait_until(at_rest, timeout_s, f"everything is at rest with {expected}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the books say {seen}") from None
        return seen[0]

    def records(self, agent_id: str = "ops") -> list[str]:
        """The kinds of the agent's ledger lines, oldest first."""
        return [record["what"] for record in self.store.ledger.records(agent_id)]

    def lease_ends_ms(self, agent_id: str = "ops", pool: str = "agents") -> int:
        """Server time at which the running lease would run out."""
        return int(self.store.client.hget(self.store.keys.agent(pool, agent_id)["lease"], "until") or 0)

    def renewals(self, agent_id: str = "ops", pool: str = "agents") -> int:
        """How often the running lease was renewed."""
        return int(self.store.client.hget(self.store.keys.agent(pool, agent_id)["lease"], "renewal") or 0)

    # The end

    def close(self) -> None:
        """Kills everything, then sees that no command outlived its worker. Prints the logs: pytest shows them if the test failed."""
        for worker in self.workers:
            if worker.alive:
                worker.signal(signal.SIGCONT)
            worker.close()
        if "producer" in self.__dict__:
            self.producer.close()
        if "store" in self.__dict__:
            self.store.close()
        for worker in self.workers:
            lines = worker.said().splitlines()[-LOG_LINES:]
            print(f"--- {worker.log.name} (pid {worker.pid}, status {worker.process.returncode})", *lines, sep="\n")
        wait_until(lambda: not self.left_behind(), PATIENCE_S, "every command is gone with its worker")
        child = self.folder / "child"  # of a heartbeat that ended well: it may live on, but not beyond its test
        if child.exists() and read(Path("/proc", child.read_text().strip(), "cmdline")).startswith(b"sleep\0"):
            os.kill(int(child.read_text()), signal.SIGKILL)

    def left_behind(self) -> list[int]:
        ours = {worker.pid for worker in self.workers}
        return [beat.pid for beat in self.beats() if beat.ended is None and beat.pid not in ours and lives(beat.pid)]


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{n:04d}" for n in range(count)]


def toml_of(tables: dict[str, Any], path: tuple[str, ...] = ()) -> Iterable[str]:
    """Nested dictionaries as TOML; its strings, numbers and lists are JSON's. None is left out."""
    if path:
        yield f"[{'.'.join(json.dumps(part) for part in path)}]"
    for name, value in tables.items():
        if value is not None and not isinstance(value, dict):
            yield f"{json.dumps(name)} = {json.dumps(value)}"
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from toml_of(value, (*path, name))
