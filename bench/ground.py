"""One measurement's own ground: a fresh server, one contestant's processes on it, and the notes of its heartbeats."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.notes import NOTES, TURN_S, Notes
from bench.peers.environments import ROOT, SLOTS, Peer, environment
from dispatcher.config import load
from dispatcher.store.connect import kombu_url
from dispatcher.store.opened import Store, open_store
from tests.support.server import Server

PATIENCE_S = 120.0
TOML = """
[redis]
url = "{url}"
[defaults]
runner = {{ type = "python", target = "bench.peers.wake:turn" }}
{defaults}
[routing]
unknown_agents = "accept"
[pools.agents]
concurrency = {slots}
{more}
"""
NO_GUARDS = "min_spacing_ms = 0\nflood_starts = 0"


@dataclass(frozen=True)
class Submitted:
    """What the submitting process says of itself; times are ns since the epoch."""

    started: int
    ended: int
    sent: dict[str, int]


class Ground:
    """`defaults` and `more` are lines of wake.toml."""

    def __init__(self, turn_s: float = 0.0, defaults: str = NO_GUARDS, more: str = "", *, tcp: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wake-bench-"))
        self.server = Server(tcp=tcp, appendfsync="everysec")
        self.server.start()
        self.notes = Notes(self.folder / "notes")
        config = self.folder / "wake.toml"
        config.write_text(TOML.format(url=self.server.url, defaults=defaults, slots=SLOTS, more=more))
        self.env = environment(
            WAKE_CONFIG=str(config),
            BENCH_URL=self.server.url,
            BENCH_BROKER=kombu_url(self.server.url),
            RQ_REDIS_URL=self.server.url,
            **{NOTES: str(self.notes.path), TURN_S: str(turn_s)},
        )
        self.store: Store = open_store(load(config, {}), self.server.url)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.store.close()
        self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, words: list[str]) -> subprocess.Popen[bytes]:
        """`python -m words`, as `run`."""
        return self.run([sys.executable, "-m", *words])

    def run(self, words: list[str]) -> subprocess.Popen[bytes]:
        """A command in a process group of its own; what it says lies in the folder."""
        log = self.folder / f"{len(self.processes)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                words, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self.processes.append(process)
        return process

    def start_wake(self, workers: int = 1) -> None:
        """A router and workers, present."""
        for words in (["workers", "worker", "--route"], *([["workers", "worker"]] * workers)):
            self.start(words)
        self.present(workers + 1)

    def present(self, count: int) -> None:
        """Until so many processes of ours show their presence."""
        self.until(lambda: len(self.store.ledger.presences()) >= count, "our processes are ready")

    def start_peer(self, peer: Peer) -> None:
        if peer.work:
            self.run(peer.worker())
        else:
            self.start_wake()

    def submit(self, peer: Peer, **asked: Any) -> Submitted:
        """In a process of its own, after one completion went through as a warm-up."""
        done = subprocess.run(peer.submitter(asked), env=self.env, cwd=self.folder, capture_output=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError(f"{peer.name}: {done.stderr.decode(errors='replace')[-500:]}")
        return Submitted(**json.loads(done.stdout.splitlines()[-1]))

    def until(self, done: Any, what: str, limit_s: float = PATIENCE_S) -> None:
        until = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > until:
                raise RuntimeError(f"not within {limit_s:.0f} s: {what}")
            time.sleep(0.02)

    def server_cpu_s(self) -> float:
        """CPU time of the server so far."""
        said = self.store.client.info("cpu")
        return float(said["used_cpu_user"]) + float(said["used_cpu_sys"])


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


__all__ = ["NO_GUARDS", "ROOT", "Ground", "Submitted", "cpu_s", "rss_mib"]
