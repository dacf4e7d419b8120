"""The guide for users of a gateway, typed as written: its key and its token are those with which the reporter is heard."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.examples.test_openclaw_plugin import Execs
from tests.support.exec_process import environment
from tests.support.ingress import Ingress
from tests.support.sources import ROOT

GUIDE = ROOT / "examples" / "openclaw" / "README.md"
GATEWAY = '{ gateway: { port: 19001 }, agents: { entries: { ops: {}, "lab-1": {} } } }'


def test_the_commands_of_the_guide_make_a_token_that_the_ingress_takes(tmp_path: Path, start: Callable[..., Ingress]) -> None:
    """But for `wake up`, instead of which the ingress of the test runs, on the guide's wake.toml and key."""
    home, work, programs = tmp_path / "home", tmp_path / "work", tmp_path / "bin"
    for folder in (home / ".openclaw", work, programs):
        folder.mkdir(parents=True)
    (home / ".openclaw" / "openclaw.json").write_text(GATEWAY)
    (programs / "wake").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m dispatcher.cli "$@"\n')
    (programs / "wake").chmod(0o755)
    lines = [line.strip()[2:] for line in GUIDE.read_text("utf-8").splitlines() if re.match(r" +\$ ", line)]
    typed = [line for line in lines if not line.startswith("wake up --http")]
    assert len(typed) == len(lines) - 1 == 4
    env = environment(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}", HOME=str(home))
    subprocess.run(["sh", "-ec", "\n".join(typed)], cwd=work, env=env, capture_output=True, text=True, timeout=200, check=True)
    token = home / ".wake-token"
    assert (token.stat().st_mode | (work / "openclaw-hooks.token").stat().st_mode) & 0o077 == 0

    ingress = start("", (work / "wake.toml").read_text())
    shutil.copy(work / ".wake" / "token.keys", ingress.keys)
    ingress.ready()
    execs = Execs(tmp_path, ingress.place, token.read_text().strip())
    execs.run("echo done")
    (said,) = ingress.accepted()
    assert (said["session_key"], said["output"]) == ("agent:ops:main", "done\n")
