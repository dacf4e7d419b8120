"""Every command explains itself with examples, and every example, here and in the README, is one that the command takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.app import run
from dispatcher.cli.exec_command import USAGE
from dispatcher.config import Config
from tests.support.command_lines import leaves, parse
from tests.support.exec_process import WAKE, environment
from tests.support.sources import ROOT

COMMANDS = list(leaves())
README = (ROOT / "README.md").read_text("utf-8")
TYPED = re.findall(r"^\$ (.*\bwake .*)$", README, re.MULTILINE)


def examples(text: str) -> list[str]:
    _, _, after = re.sub(r"Examples?:", "Example:", text).partition("Example:")
    return re.findall(r"^ *(wake .*)$", after, re.MULTILINE)


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_has_an_example_that_it_takes(path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if path == ("exec",):
        text = USAGE
    else:
        assert run([*path, "--help"]) == 0
        text = capsys.readouterr().out
    # An example is typed, and one that is cut in two cannot be; anything else stays within a terminal.
    assert not [line for line in text.splitlines() if len(line) > 80 and not line.lstrip().startswith(("wake ", "WAKE_"))]
    assert "[[" not in text
    shown = examples(text)
    assert shown, f"wake {' '.join(path)} --help shows no example"
    assert any(f"wake {' '.join(path)}" in re.sub(r"wake --config \S+", "wake", line) for line in shown), "an example of itself"
    for line in shown:
        parse(line)
    assert path == ("exec",) or all(parameter.help for parameter in command.params if parameter.param_type_name == "option")


@pytest.mark.parametrize("line", ["wake nonsense", "wake spool", "wake up --nonsense", "wake exec true", "wake worker --concurrency 0"])
def test_a_wrong_example_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"."):
        parse(line)


@pytest.mark.parametrize("line", TYPED)
def test_what_the_readme_types_is_what_the_commands_take(line: str) -> None:
    parse(line)


def test_the_readme_types_something() -> None:
    assert len(TYPED) > 8


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_a_configuration_in_the_readme_is_sound(text: str) -> None:
    Config.model_validate(tomllib.loads(text))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_WAKE_COMPLETE" in capsys.readouterr().out
    assert run(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shell"] == shell
    assert run(["completion", "nonsense"]) == 2


def test_bash_completes_our_words(tmp_path: Path) -> None:
    """By the script itself, in a real shell."""
    (tmp_path / "wake").write_text(f'#!/bin/sh\nexec {" ".join(WAKE)} "$@"\n')
    (tmp_path / "wake").chmod(0o755)
    script = """
source <(wake completion bash)
COMP_WORDS=(wake spool fl); COMP_CWORD=2
_wake_completion wake
echo "${COMPREPLY[@]}"
"""
    env = environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.split() == ["flush"]
