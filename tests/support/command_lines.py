"""Command lines of ours in documents and help texts: found, and parsed as the command would, without running anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer

from dispatcher.cli.app import app
from dispatcher.cli.exec_command import Options
from dispatcher.cli.processes import exec_behind_options
from tests.support.sources import ROOT


def tree() -> Any:
    """The commands as typer builds them; it ships the types of its own copy of click only."""
    return typer.main.get_command(app)


def leaves(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be typed, with its words."""
    command = command or tree()
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*path, name))


def parse(line: str) -> None:
    """Raises whatever the command says to a wrong line; a line may be several, joined by && or |."""
    for part in re.split(r"&&|\|", line):
        words = shlex.split(part, comments=True)
        words = words[: next((at for at, word in enumerate(words) if word.startswith(">")), len(words))]
        if words[:1] == ["wake"]:
            _parse(words[1:])


def _parse(words: list[str]) -> None:
    if (rest := exec_behind_options(words)) is not None:
        Options(rest)
        return
    if words[:1] == ["--config"]:
        words = words[2:]
    command, name = tree(), "wake"
    while hasattr(command, "commands"):
        assert words, f"{name}: a command is missing"
        name, *words = words
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    command.make_context(name, words)


def typed_in_readme(section: str) -> list[list[str]]:
    """The console blocks of one section of the README, each as its lines."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {section}"
    return [block.splitlines() for block in re.findall(r"```console\n(.*?)```", found[1], re.DOTALL)]
