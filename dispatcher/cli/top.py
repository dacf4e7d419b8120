"""`wake top`: who runs, who waits and until when, live; or one frame for a script."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from dispatcher.cli.options import known_pool
from dispatcher.cli.output import document
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, reach

if TYPE_CHECKING:
    from dispatcher.viewing import Asked

SORTS = ("next", "oldest", "waiting", "agent", "state")
DUMB = ("", "dumb", "unknown")


def register(app: typer.Typer) -> None:
    app.command()(top)


def top(
    filter_: Annotated[str, typer.Option("--filter", metavar="TEXT", help="Agents with this in their id, or a pattern.")] = "",
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help="Only this pool.", show_default=False)] = "",
    sort: Annotated[str, typer.Option("--sort", metavar="|".join(SORTS), help="In which order.")] = "next",
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.2, max=60, help="How often to look.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame as text, also into a pipe.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Watch pools and agents: who runs (token, for how long), who is deferred (why, how long still), what waits, what is dead.

    Needs a terminal of 80x24 and the extra `top`; --once and --json need neither. Uses no colours. Keys are shown at the bottom:
    filter, sort, explanation, pause, resume, wake, cancel. A server that is away is waited for.
    It reads counters and, of each slot and pool, the 64 agents due first; --filter with a whole id finds any agent.

    \b
    Examples:
      wake top
      wake top --pool research --sort oldest
      wake top --once --filter 'lab-*'
    """
    from dispatcher.viewing import Asked, Viewer

    if sort not in SORTS:
        raise typer.BadParameter(f"--sort {sort}: give one of {', '.join(SORTS)}")
    asked = Asked(filter_, pool, sort)
    live = not (once or as_json)
    if live and (not sys.stdout.isatty() or not sys.stdin.isatty()):
        raise typer.BadParameter("there is no terminal here to draw on; `wake top --once` prints one frame, --json one document")
    if live and (term := os.environ.get("TERM", "")) in DUMB:
        raise typer.BadParameter(f"a terminal of TERM={term or '(not set)'} cannot be drawn on; `wake top --once` prints one frame")
    reached = reach(config)
    if live:
        _screen(reached, asked, every)
        return
    if pool:
        known_pool(reached, pool)
    frame = Viewer(reached.store).frame(asked)
    if as_json:
        document(frame.shown())
    else:
        from dispatcher.cli.top_lines import lines

        sys.stdout.write("".join(f"{line}\n" for line in lines(frame)))


def _screen(reached: Reach, asked: Asked, every_s: float) -> None:
    from dispatcher.core.errors import ConfigError, StoreUnavailable
    from dispatcher.viewing import Viewer

    try:
        from dispatcher.cli.top_screen import Top
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("textual"):
            raise
        remedy = "pip install 'wake-dispatcher[top]'; `wake top --once` and --json need no extra"
        raise ConfigError([f"the live view needs the extra `top`: {remedy}"]) from None
    from dispatcher.cli.top_acts import TopActs

    for name in ("COLUMNS", "LINES"):  # exported, they would be believed for ever: a window that gets another size would stand still
        os.environ.pop(name, None)
    with suppress(StoreUnavailable):  # the screen says so, and waits
        if asked.pool:
            known_pool(reached, asked.pool)
    Top(Viewer(reached.store), TopActs(reached), asked, every_s).run(mouse=False)
