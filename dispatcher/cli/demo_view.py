"""How the demo looks: a live view in a terminal (80x24 is enough), lines of progress without one, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dispatcher.cli.demo_scenario import AGENTS, BURST, COMMANDS
from dispatcher.cli.demo_standing import AgentRow, CommandRow, Standing
from dispatcher.cli.demo_verdict import Verdict

SHOWN_COMMANDS = 5
LINE_EVERY_S = 2.0
BAR_CHARS = 36
ALL = len(COMMANDS) + BURST


class View(Protocol):
    """Shows one look after another; `close` leaves the terminal as it was."""

    def show(self, standing: Standing) -> None: ...
    def close(self) -> None: ...


def view_for(console: Console) -> View:
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else LineView(console)


class LiveView:
    """Redraws in place, and disappears at the end in favour of the table."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, standing: Standing) -> None:
        self._live.update(_screen(standing), refresh=True)

    def close(self) -> None:
        self._live.stop()


class LineView:
    """A line whenever the stage changes, and every two seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._next_at = 0.0

    def show(self, standing: Standing) -> None:
        if standing.stage == self._stage and time.monotonic() < self._next_at:
            return
        self._stage, self._next_at = standing.stage, time.monotonic() + LINE_EVERY_S
        beats = sum(row.heartbeats for row in standing.agents)
        self._console.print(
            f"{standing.seconds:5.1f} s  {standing.stage}: commands {standing.commands_done}/{len(COMMANDS)}, accepted {standing.accepted}/{ALL}, "
            f"routed {standing.routed}, settled or dead {standing.final}, heartbeats {beats}",
            soft_wrap=True,
        )

    def close(self) -> None:
        """Nothing to take back."""


def _screen(standing: Standing) -> RenderableType:
    head = Text.assemble(("wake demo ", "bold"), (f"{standing.seconds:5.1f} s   ", "dim"), standing.stage)
    return Group(head, Text(), _progress(standing), _agents(standing.agents), _commands(standing.commands))


def _progress(standing: Standing) -> Table:
    rows = (
        ("commands ended", standing.commands_done, len(COMMANDS)),
        ("completions accepted", standing.accepted, ALL),
        ("routed to one agent", standing.routed, ALL),
        ("settled or set aside", standing.final, ALL),
    )
    table = Table.grid(padding=(0, 2))
    for name, done, total in rows:
        table.add_row(name, ProgressBar(total=total, completed=done, width=BAR_CHARS), f"{done:3d} of {total}")
    return table


def _table(*columns: str, numbers: int = 0) -> Table:
    """`numbers` columns are right-aligned, after the first two."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if 2 <= at < 2 + numbers else "left", no_wrap=True, overflow="ellipsis")
    return table


def _agents(rows: Sequence[AgentRow]) -> Table:
    table = _table("agent", "pool", "pending", "running", "heartbeats", "completions", "now", numbers=4)
    for row in rows:
        table.add_row(row.agent_id, row.pool, str(row.pending), str(row.running), str(row.heartbeats), str(row.completions), row.waits)
    return table


def _commands(rows: Sequence[CommandRow]) -> Table:
    """What runs, and what ended last."""
    table = _table("wake exec", "session key", "command", "s", "")
    for row in [*[r for r in rows if r.how], *[r for r in rows if not r.how]][-SHOWN_COMMANDS:]:
        table.add_row(
            row.title, row.session_key, row.words, f"{row.seconds:.1f}", Text(row.how or "running", style="" if row.how else "bold")
        )
    return table


def show_verdict(console: Console, verdict: Verdict, seconds: float) -> None:
    """The table at the end."""
    pools = {agent.agent_id: agent.pool for agent in AGENTS}
    table = _table("agent", "pool", "completions", "heartbeats", "per heartbeat", "foreign", numbers=4)
    for agent_id, tally in verdict.agents.items():
        ratio = tally.completions / tally.heartbeats if tally.heartbeats else 0.0
        table.add_row(agent_id, pools.get(agent_id, "?"), str(tally.completions), str(tally.heartbeats), f"{ratio:.1f}", str(tally.foreign))
    table.add_section()
    table.add_row(
        "total", "", str(verdict.completions), str(verdict.heartbeats), f"{verdict.ratio:.1f}", str(len(verdict.foreign)), style="bold"
    )
    console.print(table)
    letters = _table("dead letter", "session key", "expected")
    for letter in verdict.dead:
        letters.add_row(str(letter.dead_reason), letter.session_key, "yes" if letter.agent_id is None else "NO")
    console.print(letters)
    books = verdict.books
    console.print(
        f"{verdict.planned} completions = {books.get('settled', 0)} settled + {books.get('dead', 0)} dead letters, balance {books.get('balance', '?')}; "
        f"{verdict.heartbeats} heartbeats, {verdict.ratio:.1f} completions each;"
    )
    console.print(
        f"foreign wakes {len(verdict.foreign)}, lost {len(verdict.lost)}, in two batches {len(verdict.repeated)}, "
        f"two heartbeats of one agent at a time {verdict.overlaps}"
    )
    for problem in verdict.problems:
        console.print(f"problem: {problem}", style="red", soft_wrap=True)
    console.print(
        Text(f"{'as promised' if verdict.ok else 'NOT as promised'}, in {seconds:.1f} s", style="bold green" if verdict.ok else "bold red")
    )
