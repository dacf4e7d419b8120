"""Before an operator's act: who does it, and whether a wide one is meant."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dispatcher.names import host_name

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, although it is wide.")]


def by() -> str:
    """Who does it: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{host_name()}"


def ask(act: str, question: str, *, yes: bool, as_json: bool) -> None:
    """Before a wide act. Ends the command with 1 when the answer is no, with a usage error where nobody can be asked."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter(f"{act} may mean many agents, and nobody can be asked here: give --yes, or --dry-run to see whom")
    if not typer.confirm(f"{act}{question}", err=True):
        raise typer.Exit(1)


def some(names: Sequence[str]) -> str:
    """The first ten, and how many more."""
    return (", ".join(names[:10]) or "none") + (f" and {len(names) - 10} more" if len(names) > 10 else "")
