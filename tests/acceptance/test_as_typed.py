"""The first lines of the README, typed as written in an empty folder: the agent is woken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_lines import typed_in_readme
from tests.support.gates import wait_until
from tests.support.sources import ROOT
from tests.support.typed_folder import PATIENCE_S, Folder

BLOCK = typed_in_readme("Use it")[0]
TYPED = [line.removeprefix("$ ").partition("  #")[0].strip() for line in BLOCK if line.startswith("$ ")]
SHOWN = [line for line in BLOCK if not line.startswith("$ ")]


@pytest.mark.timeout(900)
def test_the_readme_as_typed(folder: Folder) -> None:
    first, second, third = TYPED
    assert (first, second) == ("wake init && wake up", "wake exec --session-key agent:main:main -- sleep 1")
    folder.start(first)
    wait_until(lambda: folder.run("wake status --json").returncode == 0, PATIENCE_S, "it is ready", every_s=0.2)
    done = folder.run(second)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wait_until(lambda: folder.run(third).returncode == 0, PATIENCE_S, "main was woken", every_s=0.2)
    assert [re.sub(r"[0-9a-f]{8}", "*", line) for line in folder.run(third).stdout.splitlines()] == [
        re.sub(r"[0-9a-f]{8}", "*", line) for line in SHOWN
    ]
    assert folder.run("wake audit --json").returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_installed_by_uv_tool_from_our_wheel(tmp_path: Path) -> None:
    """Isolated, with the versions of our lock; the commands stand in a folder of their own and start workers from there."""
    folder = Folder(tmp_path)
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=600, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    homes = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "uv-bin"), "UV_PYTHON": sys.executable}
    folder.env = {name: value for name, value in folder.env.items() if name != "PYTHONPATH"} | homes
    folder.env["PATH"] = os.pathsep.join([str(tmp_path / "uv-bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    assert shutil.which("uv", path=folder.env["PATH"]), "uv comes with the extra `test`"
    installed = folder.run(f"uv tool install --constraints '{ROOT}/constraints.txt' '{wheel}'", timeout_s=600)
    assert installed.returncode == 0, installed.stderr
    assert sorted(path.name for path in (tmp_path / "uv-bin").iterdir()) == ["wake", "wake-dispatcher"]
    try:
        folder.start("wake init && wake up")
        wait_until(lambda: folder.run("wake status --json").returncode == 0, PATIENCE_S, "it is ready", every_s=0.2)
        assert folder.run("wake exec --session-key agent:main:main -- sh -c 'echo words'").stdout == "words\n"
        wait_until(lambda: "words" in folder.run("cat heartbeats.log").stdout, PATIENCE_S, "main was woken", every_s=0.2)
    finally:
        folder.close()
