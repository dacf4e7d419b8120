"""Cancel heartbeats that run, and list what operators did."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dispatcher.cli.asking import Yes, ask, by, some
from dispatcher.cli.output import document, say, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, reach

SAYS = {
    "CANCELLING": "is told to end",
    "ALREADY": "was cancelled before, and is told again",
    "NOT_RUNNING": "ended meanwhile",
    "CHANGED": "ended meanwhile; another heartbeat of the agent runs, and is left alone",
}


def register(app: typer.Typer) -> None:
    app.command()(cancel)
    app.command(name="acts")(list_acts)


def cancel(
    selector: Annotated[str, typer.Argument(metavar="SELECTOR", help="An agent, a pattern like 'lab-*', or pool:NAME.")],
    batch: Annotated[str, typer.Option("--batch", metavar="ID", help="Only if this batch runs.", show_default=False)] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; the receipts and the dead letters say it.", show_default=False)] = "",
    retry: Annotated[bool, typer.Option("--retry", help="Run the same batch again, instead of setting it aside.")] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which heartbeats run.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Cancel heartbeats that run now. Their completions become dead letters `cancelled`, revivable; with --retry the batch runs again.

    A command gets SIGTERM, later its group SIGKILL, as at the time limit; a callable is asked. It takes a moment, and is certain also when
    the worker dies meanwhile. What the agents get later runs as ever; `wake pause` first, if it is not to. Exit code 1 when nothing runs.

    \b
    Examples:
      wake cancel ops --reason "runs in circles"
      wake cancel ops --batch ops-1767225600000000 --retry
      wake cancel pool:research --dry-run
    """
    from dispatcher.cancelling import Cancelling

    reached = reach(config, writes=not dry_run)
    acts = Cancelling(reached.store, reached.config)
    targets = acts.targets(selector, batch)
    said: dict[str, str] = {}
    if not dry_run:
        if targets.wide:
            names = some([one.agent_id for one in targets.running])
            ask(f"Cancel {targets.selector}", f"? Heartbeats that run now: {names}", yes=yes, as_json=as_json)
        said = {one.batch_id: status for one, status in acts.cancel(targets, by(), reason, retry=retry)}
    if as_json:
        beats: list[dict[str, Any]] = [one._asdict() | {"status": said.get(one.batch_id, "").lower() or None} for one in targets.running]
        head = {"selector": targets.selector, "wide": targets.wide, "retry": retry, "reason": reason, "by": by(), "dry_run": dry_run}
        document(head | {"heartbeats": beats})
    else:
        for one in targets.running:
            say(f"{one.agent_id}: {one.batch_id} {SAYS[said[one.batch_id]] if said else 'would be cancelled'}")
    if said and not set(said.values()) & {"CANCELLING", "ALREADY"}:
        raise typer.Exit(1)


def list_acts(
    newest: Annotated[int, typer.Option("--newest", min=1, max=1000, help="How many.")] = 20,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List what operators did, the newest first: wake, pause, drain, resume, cancel; who, to whom, when and why.

    \b
    Example:
      wake acts --newest 5 --json
    """
    found = reach(config).store.acts.newest(newest)
    if as_json:
        document({"acts": [act._asdict() for act in found]})
    else:
        table(("when", "who", "what", "to", "why", "about"), [(when(a.at_ms), a.by, a.what, a.selector, a.reason, a.about) for a in found])
