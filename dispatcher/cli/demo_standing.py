"""Where the demo stands: read from the store's books and from what the heartbeats themselves wrote down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dispatcher.cli.demo_scenario import AGENTS, HEARD, OVERLAPS
from dispatcher.cli.demo_verdict import Evidence, Heard, Planned
from dispatcher.names import serves

if TYPE_CHECKING:
    from dispatcher.store.books import Balance
    from dispatcher.store.ledger import AgentStatus
    from dispatcher.store.opened import Store


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent, now."""

    agent_id: str
    pool: str
    pending: int = 0
    running: int = 0
    heartbeats: int = 0
    completions: int = 0
    waits: str = ""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command under `wake exec`, now. `how` is empty while it runs."""

    title: str
    session_key: str
    words: str
    seconds: float
    how: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One look at everything."""

    seconds: float
    stage: str
    commands_done: int
    commands: Sequence[CommandRow]
    planned: int
    accepted: int
    routed: int
    final: int
    agents: Sequence[AgentRow]


class Heartbeats:
    """Reads what the heartbeats wrote, each line once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / HEARD
        self._read: dict[str, int] = {}
        self.heard: list[Heard] = []

    def look(self) -> None:
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as lines:
                lines.seek(self._read.get(path.name, 0))
                for line in lines:
                    if not line.endswith(b"\n"):
                        break  # still being written
                    self._read[path.name] = self._read.get(path.name, 0) + len(line)
                    self.heard.append(_heard(path.stem, line))

    def of(self, agent_id: str) -> list[Heard]:
        return [turn for turn in self.heard if turn.agent_id == agent_id]

    def overlaps(self) -> int:
        path = self._folder / OVERLAPS
        return len(path.read_text("utf-8").splitlines()) if path.exists() else 0


def _heard(agent_id: str, line: bytes) -> Heard:
    request = json.loads(line)
    return Heard(
        agent_id, request["agent_id"], request["session_key"], request["batch_id"], request["attempt"], tuple(request["completion_ids"])
    )


def agent_rows(store: Store | None, heartbeats: Heartbeats) -> list[AgentRow]:
    """One row for each agent of the scenario."""
    now_ms = store.ledger.now_ms() if store else 0
    rows = []
    for agent in AGENTS:
        turns = heartbeats.of(agent.agent_id)
        status = store.ledger.agent(agent.agent_id) if store else None
        running = len(turns[-1].completion_ids) if turns and status and status.running == turns[-1].batch_id else 0
        rows.append(
            AgentRow(
                agent.agent_id,
                agent.pool,
                status.pending if status else 0,
                running,
                len(turns),
                sum(len(turn.completion_ids) for turn in turns),
                "heartbeat" if running else _waits(status, now_ms),
            )
        )
    return rows


def _waits(status: AgentStatus | None, now_ms: int) -> str:
    if status is None or not status.pending:
        return ""
    until_ms, reason = max(status.deferrals.values(), default=(0, ""))
    return f"{reason} {(until_ms - now_ms) / 1000:.1f} s" if until_ms > now_ms else "due"


def ready(store: Store, pools: Sequence[str]) -> bool:
    """Whether a router and a worker of each pool are there."""
    present = [serves(name) for name in store.ledger.presences()]
    return ("router", ()) in present and all(("worker", (pool,)) in present for pool in pools)


def evidence(store: Store, books: Balance, planned: Sequence[Planned], heartbeats: Heartbeats, trouble: Sequence[str]) -> Evidence:
    """Everything for the verdict. Raises StoreUnavailable."""
    fates = {}
    for item in planned:
        found = store.ledger.where(item.completion_id)
        fates[item.completion_id] = str(found.fate) if found else "unknown"
    heartbeats.look()
    dead = {letter.completion_id: letter.reason for letter in store.ledger.dead_letters()}
    return Evidence(planned, heartbeats.heard, fates, dead, counts(books), heartbeats.overlaps(), trouble)


def counts(books: Balance) -> dict[str, int]:
    """The books by name, with their balance."""
    return asdict(books) | {"balance": books.balance}
