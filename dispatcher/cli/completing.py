"""`wake completion`: what makes a shell complete our words."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from dispatcher.cli.output import document
from dispatcher.cli.reach import AsJson

VARIABLE = "_WAKE_COMPLETE"


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    app.command()(completion)
    if VARIABLE in os.environ:  # a shell asks; typer knows its protocol only after this
        completion_init()


def completion(shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish")], as_json: AsJson = False) -> None:
    """Print the script that completes our words in this shell.

    \b
    bash: wake completion bash > ~/.local/share/bash-completion/completions/wake
    fish: wake completion fish > ~/.config/fish/completions/wake.fish
    zsh: wake completion zsh > ~/.zfunc/_wake, with ~/.zfunc in fpath

    \b
    Example:
      wake completion bash
    """
    script = get_completion_script(prog_name="wake", complete_var=VARIABLE, shell=shell.value)
    if as_json:
        document({"shell": shell.value, "script": script})
    else:
        sys.stdout.write(script.rstrip() + "\n")
