"""The `wake` command. Nothing imports this package."""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Entry point of `wake`. Ends the process with the exit code of the subcommand.

    `wake exec` has a way of its own: the user's command starts before anything slow to import is imported.
    """
    module, entry = ("exec_command", "main") if sys.argv[1:2] == ["exec"] else ("app", "run")
    call = getattr(import_module(f"dispatcher.cli.{module}"), entry)
    raise SystemExit(call(sys.argv[2:]) if entry == "main" else call())
