"""`wake demo`: real commands end, their completions are routed, and heartbeats run for the right agents only. Then the books are read."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatcher.cli.reach import AsJson


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's folder: configuration, logs, what the heartbeats received.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the whole path on real processes, in a temporary folder, in under a minute.

    An embedded server, a router, two workers, four agents, ten commands under `wake exec` and a burst of 200 completions. Touches
    nothing outside its folder and uses no configuration but its own. Exit code 0 only when no agent was woken for another one's
    completion, nothing is lost and the books balance.

    \b
    Example:
      wake demo
    """
    from dispatcher.cli.demo_run import run  # rich's live view and the store: nothing that `wake --help` needs

    raise typer.Exit(run(keep=keep, as_json=as_json))
