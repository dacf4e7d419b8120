"""`wake init`: a folder from which `wake up` and `wake exec` work at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dispatcher.cli.output import complain, document, say
from dispatcher.cli.reach import AsJson
from dispatcher.core.errors import ConfigError
from dispatcher.core.session_key import AGENT_ID_RULE, valid_agent_id

CONFIG_FILE, RUNNER_FILE = "wake.toml", "heartbeat.py"
DEFAULT_AGENT = "main"


def register(app: typer.Typer) -> None:
    app.command()(init)


def init(
    agent: Annotated[list[str] | None, typer.Option("--agent", metavar="ID", help="An agent; may be repeated.", show_default=False)] = None,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to; made if it is not there.")] = Path("."),
    redis_url: Annotated[
        str | None, typer.Option("--redis-url", metavar="URL", help="A server of your own; else the embedded one.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented wake.toml and an example runner, heartbeat.py, that runs as it is.

    On a terminal it asks for what no option says. Exit code 1 when one of the files is there already.

    \b
    Examples:
      wake init
      wake init --agent main --agent ops --dir gateway
      wake init --redis-url redis://127.0.0.1:6379/0 --yes
    """
    asks = not (yes or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    agents = _agents(agent or (_asked_agents() if asks else [DEFAULT_AGENT]))
    if redis_url is None and asks:
        redis_url = typer.prompt("Server URL (empty: an embedded server)", default="", show_default=False).strip() or None
    target = folder.expanduser().absolute()
    texts = {CONFIG_FILE: _toml(agents, redis_url), RUNNER_FILE: Path(__file__).with_name("heartbeat_example.py").read_text("utf-8")}
    there = [name for name in texts if os.path.lexists(target / name)]
    if there and not force and not (asks and typer.confirm(f"{', '.join(there)} in {target} is there already; replace?")):
        error = f"init {target}: {', '.join(there)} is there already, and nothing was written; use --force to replace, or --dir"
        complain(error)
        if as_json:
            document({"error": error})
        raise typer.Exit(1)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _write(target / name, text, 0o755 if name == RUNNER_FILE else 0o600 if redis_url else 0o644)
    except OSError as error:
        raise ConfigError([f"init {target}: {error.strerror or error}; name another folder with --dir"]) from error
    if as_json:
        document({"folder": str(target), "written": list(texts), "agents": agents})
        return
    say(f"written: {', '.join(texts)} in {target}; agents: {', '.join(agents)}")
    say("Next: `wake up`, and in another terminal:")
    say(f"  wake exec --session-key agent:{agents[0]}:main -- sleep 1")
    say("heartbeats.log then shows what the agent was told. Replace heartbeat.py by a call of your agent.")


def _asked_agents() -> list[str]:
    return str(typer.prompt("Agents (ids, separated by spaces)", default=DEFAULT_AGENT)).replace(",", " ").split()


def _agents(names: list[str]) -> list[str]:
    bad = [name for name in names if not valid_agent_id(name)]
    if bad or not names:
        raise typer.BadParameter(
            f"{bad[0][:80]!r} is no agent id: {AGENT_ID_RULE}" if bad else "name at least one agent", param_hint="--agent"
        )
    return list(dict.fromkeys(name.lower() for name in names))


def _toml(agents: list[str], redis_url: str | None) -> str:
    """Validated before anything is written. Raises ConfigError, which names what is wrong with the URL."""
    import tomllib

    from pydantic import ValidationError

    from dispatcher.config import Config
    from dispatcher.config.problems import describe
    from dispatcher.config.starter import starter_toml

    text = starter_toml(agents, [f"./{RUNNER_FILE}"], redis_url=redis_url)
    try:
        Config.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(describe(error, {}), f"init: {CONFIG_FILE}") from None
    return text


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never through a symlink that is there already."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.chmod(mode)
    fresh.replace(path)
