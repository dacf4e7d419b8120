"""Ties of exact session keys to agents."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatcher.cli.output import document, say, table
from dispatcher.cli.reach import AsJson, ConfigFile, reach
from dispatcher.core.errors import InvalidAddress

Key = Annotated[str, typer.Argument(metavar="KEY", help="Exact session key, not of the form agent:…")]


def register(app: typer.Typer) -> None:
    app.command()(bind)
    app.command()(unbind)
    app.command(name="bindings")(list_bindings)


def bind(
    session_key: Key, agent: Annotated[str, typer.Argument(metavar="AGENT")], config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Tie a session key to one agent. A binding made here wins over one of the configuration.

    What became a dead letter for want of it does not come back by itself: `wake dead revive`.

    \b
    Example:
      wake bind node-mac research
    """
    from dispatcher.config.selectors import binding_key

    try:
        binding_key(session_key)
    except ValueError as error:
        raise InvalidAddress("malformed-key", f"bind: {error}") from None
    reached = reach(config, writes=True)
    if not reached.config.knows(agent):
        message = (
            f"bind {session_key!r}: agent {agent[:80]!r} is not configured; add [agents.{agent[:80]}], or set [routing] unknown_agents"
        )
        raise InvalidAddress("unknown-agent", message)
    before = reached.store.bindings.all().get(session_key)
    reached.store.bindings.bind(session_key, agent)
    if as_json:
        document({"session_key": session_key, "agent_id": agent.lower(), "previous": before})
    else:
        say(f"bound: {session_key} -> {agent.lower()}" + (f" (before: {before})" if before and before != agent.lower() else ""))


def unbind(session_key: Key, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Remove a binding made with `wake bind`. Exit code 1 when there was none. One of the configuration stays, and holds again.

    \b
    Example:
      wake unbind node-mac
    """
    reached = reach(config, writes=True)
    removed = reached.store.bindings.unbind(session_key)
    left = reached.store.bindings.all().get(session_key)
    if as_json:
        document({"session_key": session_key, "removed": removed, "agent_id": left})
    else:
        rest = f"; the configuration binds it to {left}" if left else ""
        say(f"{'removed' if removed else 'there was no such binding'}: {session_key}{rest}")
    if not removed:
        raise typer.Exit(1)


def list_bindings(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List all bindings, of the configuration and of `wake bind`.

    \b
    Example:
      wake bindings --json
    """
    reached = reach(config)
    configured = reached.config.routing.bindings
    rows = [
        {"session_key": key, "agent_id": agent, "from": "configuration" if configured.get(key) == agent else "store"}
        for key, agent in sorted(reached.store.bindings.all().items())
    ]
    if as_json:
        document({"bindings": rows})
    else:
        table(("session key", "agent", "from"), [tuple(row.values()) for row in rows])
