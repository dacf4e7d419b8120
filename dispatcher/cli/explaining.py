"""Why an agent runs or not now, and why a completion is where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.output import complain, document, facts, plain, say, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, reach
from dispatcher.core.durations import duration_words
from dispatcher.core.errors import InvalidAddress, StoreUnavailable
from dispatcher.core.exit_codes import UNREACHABLE

if TYPE_CHECKING:
    from dispatcher.explaining import AgentExplained, CompletionExplained

Shown = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    agent: Annotated[str | None, typer.Argument(metavar="AGENT", help="Why it runs or not now.")] = None,
    completion: Annotated[
        str | None, typer.Option("--completion", metavar="ID", help="Why this completion is where it is.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell why an agent runs or not now: what holds it back, since when, until when, what waits, and what would change it.

    Then its last 20 decisions, the oldest last. Changes nothing. docs/explain.md has every cause.
    Exit code 1 when nobody knows the agent or the completion, 75 when no server answers.

    \b
    Examples:
      wake explain ops
      wake explain ops --json
      wake explain --completion build-17
    """
    from dispatcher.explaining import Explainer

    if (agent is None) == (completion is None):
        raise typer.BadParameter("give an agent or --completion ID, one of both")
    try:
        reached = reach(config)
        explainer = Explainer(reached.store, reached.config)
        if completion is not None:
            _show_completion(explainer.completion(completion), as_json)
        else:
            _show_agent(explainer.agent(str(agent)), as_json)
    except StoreUnavailable as error:
        _server_down(error, as_json)
    except InvalidAddress as error:
        complain(str(error))
        if as_json:
            document({"error": "unknown agent", "agent_id": str(agent), "cause": "unknown-agent"})
        raise typer.Exit(1) from None


def _server_down(error: StoreUnavailable, as_json: bool) -> None:
    from dispatcher.core.cause_words import AGENT_CAUSES

    words = AGENT_CAUSES["server-down"]
    complain(str(error))
    if as_json:
        document({"cause": "server-down", **words._asdict(), "error": str(error)})
    else:
        facts([("why", words.says), ("then", words.follows), ("to change it", words.change)])
    raise typer.Exit(UNREACHABLE) from None


def _shown(found: AgentExplained) -> Shown:
    why = found.why
    return {
        "agent_id": found.agent_id,
        "pool": found.pool,
        **why._asdict(),
        "also": list(why.also),
        "heartbeats": found.heartbeats,
        "caused": found.caused,
        "dead_letters": found.dead,
        "decisions": [told._asdict() for told in found.decisions],
    }


def _show_agent(found: AgentExplained, as_json: bool) -> None:
    if as_json:
        document(_shown(found))
    else:
        _print(found)


def told(found: AgentExplained) -> list[str]:
    """The same as plain lines, which whoever shows them wraps."""
    pairs = [f"{name:<13}{plain(value)}" for name, value in _facts(found) if value not in (None, "")]
    decisions = [f"{duration_words(one.age_ms):>12} ago: {plain(one.says)}" for one in found.decisions]
    return [f"{found.agent_id}: {found.why.cause}", "", *pairs, "", *decisions]


def _print(found: AgentExplained) -> None:
    say(f"{found.agent_id}: {found.why.cause}", style="bold")
    facts(_facts(found))
    if found.decisions:
        table(("ago", "decision"), [(duration_words(told.age_ms), told.says) for told in found.decisions])


def _facts(found: AgentExplained) -> list[tuple[str, object]]:
    why = found.why
    oldest = "" if why.oldest_age_ms is None else f", the oldest for {duration_words(why.oldest_age_ms)}"
    caused = "" if why.caused_per_heartbeat is None else f", completions caused per heartbeat: {why.caused_per_heartbeat}"
    return [
        ("why", why.says),
        ("then", why.follows),
        ("to change it", why.change),
        ("also", ", ".join(why.also)),
        ("since", when(why.since_ms)),
        ("until", when(why.until_ms)),
        ("next tick", when(why.next_tick_ms)),
        ("waiting", f"{why.waiting}{oldest}"),
        ("dead letters", found.dead or None),
        ("heartbeats", f"{found.heartbeats}{caused}"),
    ]


def _show_completion(found: CompletionExplained, as_json: bool) -> None:
    words = found.words
    if as_json:
        head = {"completion_id": found.completion_id, "fate": found.fate.value, "cause": found.cause, **words._asdict()}
        document(head | {"at_ms": found.at_ms, "agent": _shown(found.agent) if found.agent else None})
        return
    say(f"{found.completion_id}: {found.cause}", style="bold")
    facts([("why", words.says), ("then", words.follows), ("to change it", words.change)])
    if found.agent:
        _print(found.agent)
