"""Who takes part: each party with its own connection, and the doorbells between them. Made once, used by every seed of a process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatcher.config import Config, load
from dispatcher.core.models import Lease
from dispatcher.store.opened import Store, open_store
from tests.seeds.stepping import Party, SteppedCaller

TOML = """
[redis]
slots = 2
[defaults]
min_spacing_ms = 3000
max_failures = 2
max_deliveries = 4
max_batch = 3
runner = { type = "command", command = ["true"] }
[agents.ops]
[agents.lab]
window_ms = 0
min_spacing_ms = 0
[agents.cron]
every = "1m"
[pools.lab]
agents = ["lab"]
[caps]
max_running = 2
[sweep]
young_server_ms = 0
[bounds]
max_mailbox = 6
max_dead = 5
ledger_completions = 3
"""
ROUTERS, WORKERS, OPERATORS = ("r1", "r2"), ("w1", "w2", "w3", "w4"), ("o1", "o2")
PARTIES = (*ROUTERS, *WORKERS, *OPERATORS)


class Bells:
    """The doorbells that are out; the same one is not kept twice."""

    def __init__(self) -> None:
        self.out: list[tuple[str, str]] = []

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        self.out += [one for one in agents if one not in self.out]
        return 0


@dataclass
class Turn:
    """A heartbeat whose runner runs, until when its worker trusts the lease, and what it heard of being cancelled."""

    lease: Lease
    batch_id: str
    trusted_until_ms: int
    cancelled: str = ""


class Seat:
    """A party with its connection. `generation`: how often it died; what it is called changes with it."""

    def __init__(self, name: str, config: Config, url: str) -> None:
        self.name, self.generation = name, 0
        self.caller: SteppedCaller
        self.store: Store = open_store(config, url, caller_of=lambda client, _keys: self._caller(client))
        self.party = self.caller.party = Party(name)
        self.presence: Any = None
        self.turn: Turn | None = None  # of a worker whose runner runs

    @property
    def called(self) -> str:
        return f"{self.name}.{self.generation}"

    def _caller(self, client: Any) -> SteppedCaller:
        self.caller = SteppedCaller(client)
        return self.caller

    def appear(self) -> None:
        """Subscribes, as a worker's presence does."""
        if self.presence is None:
            self.presence = self.store.client.pubsub()
        self.presence.subscribe(self.store.keys.presence_channel + self.called)
        self._hear("subscribe")

    def vanish(self) -> None:
        self.presence.unsubscribe()
        self._hear("unsubscribe")

    def _hear(self, word: str) -> None:
        while (said := self.presence.get_message(timeout=60)) is None or said["type"] != word:
            pass


class System:
    """The seats of all seeds of a process: their connections stay, everything else is new for each seed."""

    def __init__(self, url: str) -> None:
        with tempfile.TemporaryDirectory(prefix="wk-") as folder:
            (Path(folder) / "wake.toml").write_text(TOML)
            self.config = load(Path(folder) / "wake.toml", {})
        self.seats = {name: Seat(name, self.config, url) for name in (*PARTIES, "us")}
        self.seats["us"].caller.party = None

    def close(self) -> None:
        for seat in self.seats.values():
            if seat.presence is not None:
                seat.presence.close()
            seat.store.close()
