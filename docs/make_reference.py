"""`make docs` writes docs/reference/ from the code: every command, every setting, every word that a person may meet. Never by hand."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from pydantic import BaseModel
from typer.core import TyperCommand, TyperGroup

from dispatcher.cli.app import app
from dispatcher.config.model import TABLES, Config
from dispatcher.config.starter import bounds_of, default_of
from dispatcher.core.cause_words import AGENT_CAUSES, DEAD_REASONS
from dispatcher.core.words import DeadReason, Fate, Intent, Source

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Made by `make docs` from the code. Change it there. -->\n"


def cli() -> str:
    group = typer.main.get_group(app)
    return "\n".join(["# Commands", MADE, "Every command takes `--help`.", "", *_commands(group, "wake")])


def settings() -> str:
    names = [name for name in Config.model_fields if name in TABLES]
    head = [
        "# Settings",
        MADE,
        "The tables of `wake.toml`. `WAKE_<TABLE>_<KEY>` in the environment wins, as in `WAKE_REDIS_URL`; nothing of `[agents]` and",
        "`[pools]` can be set there. `wake config show` tells what is in force and who said so.",
        "",
    ]
    return "\n".join([*head, *(line for name in names for line in _table(name, TABLES[name]))])


def words() -> str:
    parts = [
        "# Words",
        MADE,
        "## Fates",
        "",
        "Where a completion is: "
        + ", ".join(f"`{one.value}`" for one in Fate)
        + ". The last four are final, but `dead`, which can be revived.",
        "",
        "## Reasons of dead letters",
        "",
        "| reason | what happened | what to do |",
        "|---|---|---|",
        *(f"| `{one.value}` | {_cell(DEAD_REASONS[one].says)} | {_cell(DEAD_REASONS[one].change)} |" for one in DeadReason),
        "",
        "## Intents",
        "",
        "The more urgent first: " + ", ".join(f"`{one.value}`" for one in Intent) + ".",
        "",
        "## Sources",
        "",
        ", ".join(f"`{one.value}`" for one in Source) + ".",
        "",
        "## Why an agent does not run",
        "",
        "What follows by itself, and what would change it: [explain](../explain.md).",
        "",
        "| cause | what a person reads |",
        "|---|---|",
        *(f"| `{cause}` | {_cell(found.says)} |" for cause, found in AGENT_CAUSES.items()),
        "",
    ]
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli, "settings.md": settings, "words.md": words}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, made in PAGES.items():
        (FOLDER / name).write_text(made(), "utf-8")


def _commands(group: TyperGroup, path: str) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{path} {name}")
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield from _command(command, f"{path} {name}")


def _command(command: TyperCommand, path: str) -> Iterator[str]:
    about, _, examples = inspect.cleandoc(command.help or "").partition("\n\b\n")
    yield from (f"## `{path}`", "", *about.strip().replace("\f", "").splitlines(), "")
    told = [(", ".join(one.opts) or one.name or "", getattr(one, "help", None) or "") for one in command.params]
    if told:
        yield from ("| | |", "|---|---|", *(f"| `{opts}` | {_cell(text)} |" for opts, text in told), "")
    if examples:
        lines = textwrap.dedent("\n".join(examples.splitlines()[1:])).strip().splitlines()
        yield from ("```console", *(f"$ {line}" for line in lines), "```", "")


def _table(name: str, model: type[BaseModel]) -> Iterator[str]:
    titles = {"agents": "[agents.ID]", "pools": "[pools.NAME]"}
    yield from (f"## `{titles.get(name, f'[{name}]')}`", "", " ".join((model.__doc__ or "").split()), "")
    if name == "agents":
        yield from ("The keys of `[defaults]`, where the agent differs.", "")
        return
    yield from ("| key | meaning | range | default |", "|---|---|---|---|")
    for key, field in model.model_fields.items():
        yield f"| `{key}` | {_cell(field.description or '')} | {_cell(bounds_of(field))} | {_cell(default_of(field))} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
