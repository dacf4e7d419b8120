"""What a command prints: tables for people, or one JSON document. Text that came from elsewhere cannot steer a terminal or a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dispatcher.core.exec_text import clean

MAX_CELL_CHARS = 400
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def document(value: Any) -> None:
    """The one JSON document of a command. ASCII, so that no terminal and no encoding can be hurt by what is in it."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def plain(text: object) -> str:
    """One line without control characters, of bounded length."""
    line = " ".join(clean(str(text)).split())
    return line if len(line) <= MAX_CELL_CHARS else line[: MAX_CELL_CHARS - 1] + "…"


def say(text: str, style: str = "") -> None:
    """One line for people."""
    _console().print(Text(plain(text), style=style))


def complain(text: str) -> None:
    """Words about an error on stderr, each line cleaned by itself."""
    sys.stderr.write("".join(f"wake: {' '.join(clean(line).split())}\n" for line in text.splitlines() if line.strip()))
    sys.stderr.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table as wide as the terminal, or 80 columns; what does not fit is folded, never cut."""
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text("-" if cell is None else plain(cell)) for cell in row))
    _console().print(shown)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line; pairs without a value are left out."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != "":
            shown.add_row(Text(name, style="bold"), Text(plain(value)))
    _console().print(shown)


def age(seconds: float) -> str:
    """A duration in its largest unit: `42 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def when(at_ms: int | None) -> str | None:
    """A server time in the local zone, to the millisecond."""
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, _local()).isoformat(sep=" ", timespec="milliseconds")[:23]


def ahead(until_ms: int | None, now_ms: int) -> str | None:
    """How long it is until then."""
    return None if until_ms is None else f"in {age((until_ms - now_ms) / 1000)}"


def _local() -> tzinfo | None:
    return datetime.now().astimezone().tzinfo


def _console() -> Console:
    # Made for each print: standard output may be another one by now. NO_COLOR, TERM and COLUMNS are rich's to read.
    return Console(highlight=False, markup=False, emoji=False)
