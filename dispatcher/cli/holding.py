"""Pause, drain and resume agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.asking import Yes, ask, by, some
from dispatcher.cli.options import duration_ms
from dispatcher.cli.output import document, say, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, reach
from dispatcher.core.rules import DRAINING, PAUSED

if TYPE_CHECKING:
    from dispatcher.core.snapshot import Hold
    from dispatcher.holding import Bound, Holding

Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="An agent, a pattern like 'lab-*', or pool:NAME.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; `wake explain` and `wake holds` say it.")]
For = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Ends by itself after, say, 2h.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which agents with work now it binds.")]


def register(app: typer.Typer) -> None:
    app.command()(pause)
    app.command()(drain)
    app.command()(resume)
    app.command(name="holds")(list_holds)


def pause(
    selector: Selector,
    reason: Reason,
    for_: For = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Pause agents: nothing of them starts, manual wakes neither, until they are resumed. What runs may finish; nothing is lost.

    A pattern or a pool binds agents to come, too, and is asked about.

    \b
    Examples:
      wake pause ops --reason "deploy"
      wake pause 'lab-*' --reason "model is down" --for 2h --yes
      wake pause pool:research --reason "budget" --dry-run
    """
    _hold(PAUSED, selector, reason, for_, yes=yes, dry_run=dry_run, config=config, as_json=as_json)


def drain(
    selector: Selector,
    reason: Reason,
    for_: For = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Drain agents: what waits and what comes becomes dead letters `drained`, revivable. What runs may finish.

    \b
    Examples:
      wake drain ops --reason "moves to another gateway"
      wake drain pool:research --reason "shut down" --yes
    """
    _hold(DRAINING, selector, reason, for_, yes=yes, dry_run=dry_run, config=config, as_json=as_json)


def resume(selector: Selector, yes: Yes = False, dry_run: DryRun = False, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Lift the hold of just this selector. What waited runs as one heartbeat of each agent. Exit code 1 when there is no such hold.

    \b
    Examples:
      wake resume ops
      wake resume 'lab-*' --yes
    """
    acts = _acts(reach(config, writes=True))
    bound = acts.bound(selector)
    others = acts.others(bound)
    shown = _shown(bound, others) | {"dry_run": dry_run}
    if not dry_run:
        _ask(f"Resume {bound.selector}", bound, yes=yes, as_json=as_json)
        shown |= {"lifted": _hold_shown(acts.resume(bound, by())), "by": by()}
    if as_json:
        document(shown)
        return
    say(f"{'would resume' if dry_run else 'resumed'}: {bound.selector}{_at_work(bound)}")
    _say_others(others, "stays held" if not dry_run else "would stay held")


def list_holds(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List what is paused or drained now: by whom, why, since when and until when.

    \b
    Example:
      wake holds --json
    """
    holds = _acts(reach(config)).standing()
    if as_json:
        document({"holds": [_hold_shown(hold) for hold in holds]})
    else:
        cells = [(h.selector, h.what, h.reason, h.by, when(h.since_ms), when(h.until_ms or None)) for h in holds]
        table(("selector", "what", "reason", "by", "since", "until"), cells)


def _hold(what: str, selector: str, reason: str, for_: str | None, *, yes: bool, dry_run: bool, config: str | None, as_json: bool) -> None:
    for_ms = 0 if for_ is None else duration_ms("--for", for_, least_ms=1, remedy="leave it out for a hold without end")
    if not reason.strip():
        raise typer.BadParameter("say why: --reason must not be empty")
    acts = _acts(reach(config, writes=not dry_run))
    bound = acts.bound(selector)
    others = acts.others(bound)
    shown = _shown(bound, others) | {"what": what, "reason": reason, "dry_run": dry_run}
    if not dry_run:
        _ask(f"{'Pause' if what == PAUSED else 'Drain'} {bound.selector}", bound, yes=yes, as_json=as_json)
        shown |= _hold_shown(acts.hold(bound, what, reason, by(), for_ms))
    if as_json:
        document(shown)
        return
    until = f", until {when(shown['until_ms'])}" if shown.get("until_ms") else "" if dry_run else ", until it is resumed"
    say(f"{'would be ' if dry_run else ''}{what}: {bound.selector}{until}{_at_work(bound)}")
    _say_others(others, "is held as well")
    if what == PAUSED and not dry_run:
        say("manual wakes wait, too; what runs may finish")


def _acts(reached: Reach) -> Holding:
    from dispatcher.holding import Holding

    return Holding(reached.store, reached.config, reached.doorbell())


def _ask(act: str, bound: Bound, *, yes: bool, as_json: bool) -> None:
    if bound.wide:
        ask(act, f", agents to come included? With work now: {_names(bound)}", yes=yes, as_json=as_json)


def _at_work(bound: Bound) -> str:
    return f"; agents with work now: {_names(bound)}" if bound.wide else ""


def _names(bound: Bound) -> str:
    return some([agent_id for agent_id, _ in bound.agents])


def _shown(bound: Bound, others: Any) -> dict[str, Any]:
    also = {agent_id: [_hold_shown(hold) for hold in holds] for agent_id, holds in others.items()}
    return {"selector": bound.selector, "wide": bound.wide, "agents": [agent_id for agent_id, _ in bound.agents], "also_held": also}


def _hold_shown(hold: Hold) -> dict[str, Any]:
    shown = hold._asdict()
    return shown | {"until_ms": hold.until_ms or None}


def _say_others(others: Any, verb: str) -> None:
    for agent_id, holds in others.items():
        say(f"{agent_id} {verb}: " + ", ".join(f"{hold.what} with {hold.selector} ({hold.reason})" for hold in holds))
