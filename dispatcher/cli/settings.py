"""`wake config`: whether the configuration is sound, and what is in force."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatcher.cli.output import complain, document, say, table
from dispatcher.cli.reach import AsJson, ConfigFile, configuration
from dispatcher.core.errors import InvalidAddress
from dispatcher.core.session_key import fold_agent_id

if TYPE_CHECKING:
    from dispatcher.config import Config

config_commands = typer.Typer(help="Check and show the configuration.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(config_commands, name="config")


@config_commands.command()
def check(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="Default: WAKE_CONFIG, then ./wake.toml.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with the configuration, at once. Exit code 2 when it is not usable. Needs no server.

    What is usable and yet surely not meant, such as a runner that is no program, is a warning.

    \b
    Examples:
      wake config check
      wake config check /etc/wake/wake.toml --json
    """
    loaded = configuration(file or config)
    warnings = _warnings(loaded)
    source = str(loaded.source) if loaded.source else None
    if as_json:
        document({"ok": True, "source": source, "agents": sorted(loaded.known_ids()), "warnings": warnings})
        return
    for warning in warnings:
        complain(f"warning: {warning}")
    say(f"{source or 'no file, only defaults and environment'}: usable; agents: {', '.join(sorted(loaded.known_ids())) or 'none'}")


@config_commands.command()
def show(
    agent: Annotated[str | None, typer.Option("--agent", metavar="ID", help="The policy of this agent.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in force, and which of default, file and environment decided it. Passwords and runners' variables are masked.

    \b
    Examples:
      wake config show
      wake config show --agent ops --json
    """
    from dispatcher.config.origins import agent_settings, settings

    loaded = configuration(config)
    if agent is not None and not loaded.knows(fold_agent_id(agent)):
        raise InvalidAddress("unknown-agent", f"config show agent={agent[:80]!r}: not configured; add [agents.{agent[:80]}]")
    found = agent_settings(loaded, agent, os.environ) if agent is not None else settings(loaded, os.environ)
    source = str(loaded.source) if loaded.source else None
    if as_json:
        rows = [{"key": s.key, "value": s.value, "origin": s.origin, "where": s.where} for s in found]
        document({"source": source, "data_dir": str(loaded.data_dir), "settings": rows})
        return
    from dispatcher.config.starter import toml

    said = [(s.key, None if s.value is None else toml(s.value), s.origin if s.where is None else f"{s.origin} {s.where}") for s in found]
    table(("key", "value", "from"), said, title=source)


def _warnings(config: Config) -> list[str]:
    found = [] if config.known_ids() or config.agents else ["no agent is configured: add [agents.ID]; until then all are dead letters"]
    for agent_id in sorted(config.known_ids()):
        runner = config.agent(agent_id).runner
        if runner is None:
            found.append(f"agent {agent_id}: has no runner, every heartbeat of it fails; set runner in [defaults] or [agents.{agent_id}]")
        elif runner.type == "command":
            # A program without a folder is looked for on the worker's PATH, which need not be ours: nothing to say about it here.
            program = Path(runner.cwd or ".") / Path(runner.command[0])
            if "/" in runner.command[0] and shutil.which(program) is None:
                found.append(f"agent {agent_id}: its runner {program} is no program; correct `command`, or chmod +x")
    return found
