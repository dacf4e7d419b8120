"""Where an agent lives."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatcher.cli.output import complain, document, say
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, reach
from dispatcher.core.errors import ConfigError, InvalidAddress

_WHY = {
    "LEASE_HELD": "it runs (or its worker was lost less than a minute ago); try again when its heartbeat has ended",
    "CHANGED": "somebody else moves it at this moment; look at `wake status` and try again",
}


def register(app: typer.Typer) -> None:
    app.command()(move)


def move(
    agent: Annotated[str, typer.Argument(metavar="AGENT")],
    pool: Annotated[str | None, typer.Argument(metavar="POOL", help="Default: the one that the configuration gives it.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Move an agent with all its work to another pool. Exit code 1 while it runs.

    It stays there until it is moved again, or the configuration gives it another pool.

    \b
    Examples:
      wake move ops research
      wake move ops
    """
    reached = reach(config, writes=True)
    agent_id = agent.lower()
    home = reached.store.ledger.home_of(agent_id)
    if not reached.config.knows(agent) and home is None:
        raise InvalidAddress("unknown-agent", f"move agent={agent[:80]!r}: neither the configuration nor the store knows it")
    configured = reached.config.pool_of(agent_id)
    target = pool or configured
    if target not in (*reached.config.pool_names(), agent_id):
        raise ConfigError([f"move agent={agent_id}: no pool {target[:80]!r}; there are {', '.join(reached.config.pool_names())}"])
    source, status = _moved(reached, agent_id, target, configured)
    if as_json:
        document({"agent_id": agent_id, "from": source, "to": target, "status": status.lower().replace("_", "-")})
    elif status in _WHY:
        complain(f"move agent={agent_id} to pool={target}: {_WHY[status]}")
    else:
        say(f"{agent_id}: {f'moved from {source} to {target}' if source != target else f'already in {target}'}")
    if status in _WHY:
        raise typer.Exit(1)


def _moved(reached: Reach, agent_id: str, target: str, configured: str) -> tuple[str, str]:
    """(pool before, status word)."""
    home = reached.store.ledger.home_of(agent_id)
    source = home[0] if home else configured
    if home == (target, configured):
        return source, "ALREADY"
    return source, reached.store.mailbox.move(agent_id, source, target, configured)
