"""What a user gets from `pip install .`: both packages with their Lua, both commands, and no test."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.sources import LUA, PACKAGES, ROOT, files

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_what_runs_and_nothing_else(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {entry for entry in archive.namelist() if ".dist-info/" not in entry}
    ours = {str(p.relative_to(ROOT)) for p in files() if p.relative_to(ROOT).parts[0] in PACKAGES} | {f"{p}/py.typed" for p in PACKAGES}
    assert shipped == ours
    assert {str(p.relative_to(ROOT)) for p in LUA.rglob("*.lua")} <= shipped


@pytest.mark.timeout(1500)
def test_a_plain_install_has_both_commands_and_runs_everything(tmp_path: Path) -> None:
    """Without any extra, and from a folder with foreign packages of our names: the installed ones win."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT, cwd=tmp_path)
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "__init__.py").write_text("raise RuntimeError('the foreign package was imported')\n")
    for command in ("wake", "wake-dispatcher"):
        assert "exec" in run(binaries / command, "--help", cwd=tmp_path)
    assert '"ok": true' in run(binaries / "wake", "demo", "--json", cwd=tmp_path)
