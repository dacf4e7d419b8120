"""How the demo looks: a live view in a terminal (80x24 is enough), lines of progress without one, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
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
PARTS = ("unrouted", "pending", "running", "settled", "suppressed", "dead", "dropped")
ALL = len(COMMANDS) + BURST


class View(Protocol):
    """Shows one look after another; `close` leaves the terminal as it was."""

    def show(self, standing: Standing) -> None: ...
    def close(self) -> None: ...


def progress(standing: Standing) -> str:
    """Where it stands, in a line."""
    beats = sum(row.heartbeats for row in standing.agents)
    return (
        f"{standing.stage}: {standing.commands_done} of {len(COMMANDS)} commands ended, "
        f"of {ALL} completions {standing.accepted} accepted, {standing.routed} routed, {standing.final} settled or dead; {beats} heartbeats"
    )


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
        self._console.print(f"{standing.seconds:5.1f} s  {progress(standing)}", soft_wrap=True)

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


def _table(*columns: tuple[str, int], numbers: int = 0) -> Table:
    """`columns` are names and widths, 0 for what is left; `numbers` columns are right-aligned, after the first two."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=any(not width for _, width in columns))
    for at, (name, width) in enumerate(columns):
        justify: JustifyMethod = "right" if 2 <= at < 2 + numbers else "left"
        table.add_column(name, justify=justify, width=width or None, ratio=None if width else 1, no_wrap=True, overflow="ellipsis")
    return table


def _agents(rows: Sequence[AgentRow]) -> Table:
    table = _table(("agent", 8), ("pool", 8), ("pending", 7), ("running", 7), ("heartbeats", 10), ("received", 8), ("now", 0), numbers=4)
    for row in rows:
        table.add_row(row.agent_id, row.pool, str(row.pending), str(row.running), str(row.heartbeats), str(row.completions), row.waits)
    return table


def _commands(rows: Sequence[CommandRow]) -> Table:
    """What runs, and what ended last."""
    table = _table(("wake exec", 13), ("session key", 19), ("command", 0), ("s", 5), ("", 8))
    for row in [*[r for r in rows if r.how], *[r for r in rows if not r.how]][-SHOWN_COMMANDS:]:
        how = Text(row.how or "running", style="" if row.how else "bold")
        table.add_row(row.title, row.session_key, row.words, f"{row.seconds:.1f}", how)
    return table


def show_verdict(console: Console, verdict: Verdict, seconds: float) -> None:
    """The table at the end."""
    pools = {agent.agent_id: agent.pool for agent in AGENTS}
    table = _table(
        ("agent", 8), ("pool", 8), ("completions", 11), ("heartbeats", 10), ("per heartbeat", 13), ("foreign wakes", 13), numbers=4
    )
    for agent_id, tally in verdict.agents.items():
        ratio = tally.completions / tally.heartbeats if tally.heartbeats else 0.0
        table.add_row(agent_id, pools.get(agent_id, "?"), str(tally.completions), str(tally.heartbeats), f"{ratio:.1f}", str(tally.foreign))
    table.add_section()
    table.add_row(
        "total", "", str(verdict.completions), str(verdict.heartbeats), f"{verdict.ratio:.1f}", str(len(verdict.foreign)), style="bold"
    )
    console.print(table)
    letters = _table(("dead letters", 14), ("session key", 19), ("expected", 8))
    for letter in verdict.dead:
        letters.add_row(str(letter.dead_reason), letter.session_key, "yes" if letter.agent_id is None else "NO")
    console.print(letters)
    for line in _sums(verdict):
        console.print(line, soft_wrap=True)
    for problem in verdict.problems:
        console.print(f"problem: {problem}", style="red", soft_wrap=True)
    end = "as promised" if verdict.ok else "NOT as promised"
    console.print(f"{end}, in {seconds:.1f} s", style="bold green" if verdict.ok else "bold red")


def _sums(verdict: Verdict) -> Iterator[str]:
    books = verdict.books
    if books:
        parts = " + ".join(f"{books[name]} {name}" for name in PARTS if books[name] or name in ("settled", "dead"))
        yield f"{books['accepted']} accepted = {parts}, balance {books['balance']}"
    yield f"{verdict.completions} completions in {verdict.heartbeats} heartbeats: {verdict.ratio:.1f} in each"
    yield (
        f"foreign wakes {len(verdict.foreign)}, lost {len(verdict.lost)}, in two batches {len(verdict.repeated)}, "
        f"overlapping heartbeats {verdict.overlaps}"
    )
