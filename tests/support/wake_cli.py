"""The `wake` command on a real server: in this process, where that is faster, or as a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from dispatcher.app import current_config, current_store, forget_current
from dispatcher.cli.app import run
from dispatcher.config import Config
from dispatcher.core.models import Batch, Lease
from dispatcher.routing import Router
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.store.opened import Store
from dispatcher.store.presence import PresenceLine
from tests.support.desk import Bells
from tests.support.exec_process import WAKE, environment
from tests.support.gates import wait_until

TOML = """
[defaults]
window_ms = 0
min_spacing_ms = 0
[agents.ops]
[agents.research]
[agents.off]
enabled = false
[routing.bindings]
"node-lab" = "research"
[pools.quiet]
agents = ["hermit"]
"""
ALL = ("manual", "immediate", "event", "task", "scheduled", "rider")


class Done(NamedTuple):
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document and one line."""
        assert self.out.endswith("\n"), self
        assert self.out.count("\n") == 1, self
        return json.loads(self.out)


class WakeCli:
    """A folder with a wake.toml, a server, and the command between them. `client` is the test's own."""

    def __init__(self, folder: Path, client: redis.Redis, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.url, self.bells = folder, url, Bells()
        self.client: Any = client  # redis-py types its replies for every mode at once; this one answers texts
        self._capsys = capsys
        self.configure(TOML)

    def configure(self, toml: str) -> None:
        """Other contents for wake.toml, for the next command and for `config` and `store`."""
        (self.folder / "wake.toml").write_text(toml)
        self.forget()

    def forget(self) -> None:
        forget_current()

    @property
    def config(self) -> Config:
        return current_config()

    @property
    def store(self) -> Store:
        return current_store()

    def run(self, *words: str) -> Done:
        """One command line in this process, with nothing remembered from the one before."""
        self.forget()
        self._capsys.readouterr()
        code = run(list(words))
        return Done(code, *self._capsys.readouterr())

    def json(self, *words: str) -> Any:
        """The document of a command that is fine."""
        done = self.run(*words, "--json")
        assert done.code == 0, done
        return done.document

    def start(self, *words: str, stdin: str = "", **variables: str) -> Done:
        """One command line as a process of its own, without a terminal."""
        done = subprocess.run(
            [*WAKE, *words],
            cwd=self.folder,
            env=environment(self.url, **variables),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def submit(self, completion_id: str, key: str = "agent:ops:main", *words: str) -> None:
        """Accepted, not routed."""
        assert self.run("submit", "--session-key", key, "--id", completion_id, *(words or ("--exit-code", "1"))).code == 0

    def route(self) -> dict[str, int]:
        """What a router does."""
        self.store.inbox.prepare()
        return Router(self.store, self.config, self.bells).drain_inbox()

    def deposit(self, completion_id: str, key: str = "agent:ops:main", *words: str) -> None:
        """Accepted and routed."""
        self.submit(completion_id, key, *words)
        self.route()

    def begin(self, agent_id: str = "ops", session: str = "main") -> tuple[Lease, Batch]:
        """What a worker does until the runner starts."""
        home = self.store.ledger.home_of(agent_id)
        assert home
        leased = self.store.mailbox.acquire(agent_id, home[0], f"worker.{home[0]}.host.1.abc", "n1")
        assert isinstance(leased, Leased), leased
        begun = self.store.mailbox.begin(leased.lease, f"agent:{agent_id}:{session}", ALL, 5000, 600_000)
        assert isinstance(begun, Begun), begun
        return leased.lease, begun.batch

    def heartbeat(self, agent_id: str = "ops") -> Batch:
        """A whole heartbeat that did something."""
        lease, batch = self.begin(agent_id)
        assert self.store.mailbox.settle(lease, batch.batch_id, "ran", {"acted": True}).status == "SETTLED"
        return batch

    def bury(self, agent_id: str = "ops") -> Batch:
        """A heartbeat after which its completions are dead letters."""
        lease, batch = self.begin(agent_id)
        assert self.store.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "it did not work").status == "BURIED"
        return batch

    def fate(self, completion_id: str) -> str:
        where = self.store.ledger.where(completion_id)
        assert where
        return where.fate.value

    def settle_time(self) -> None:
        """Until the server's clock is later than everything that was done."""
        done_ms = self.store.ledger.now_ms()
        wait_until(lambda: self.store.ledger.now_ms() > done_ms + 2, 10, "the clock has moved")

    def balanced(self) -> bool:
        return self.store.ledger.balance().balance == 0


@contextmanager
def present(wake: WakeCli, *holders: str) -> Iterator[None]:
    """These processes are there."""
    lines = [PresenceLine(wake.store, holder) for holder in holders]
    for line in lines:
        line.connect()
    try:
        yield
    finally:
        for line in lines:
            line.close()
        wait_until(lambda: not set(holders) & set(wake.store.ledger.presences()), 90, "they are gone")
