"""Producers that go through `wake exec`: the systemd unit, and the hook of coding agents. Without a server the spool has their report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.sources import ROOT

UNIT = ROOT / "examples/systemd/wake-report@.service"
HOOK = ROOT / "examples/coding-agent/wake_background.py"
KEY = "agent:ops-2:main"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """`wake` on PATH, and a server that is not there."""
    (folder / "wake.toml").write_text('[redis]\nurl = "redis://127.0.0.1:9/0"\n[agents.ops-2]\n')
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


def spooled(folder: Path) -> list[dict[str, Any]]:
    """What `wake exec` kept."""
    return [json.loads(file.read_text()) for file in sorted((folder / ".wake" / "spool").glob("*.json"))]


@pytest.mark.parametrize(
    ("how", "status", "end"),
    [
        ("exited", "0", {"exit_code": 0}),
        ("exited", "3", {"exit_code": 3}),
        ("killed", "TERM", {"signal": "SIGTERM"}),
        ("dumped", "SEGV", {"signal": "SIGSEGV"}),
    ],
)
def test_the_unit_reports_how_another_one_ended(tmp_path: Path, how: str, status: str, end: dict[str, Any]) -> None:
    """Run with the variables that systemd sets for a unit which OnSuccess= or OnFailure= started."""
    (script,) = [line.partition("=")[2].split() for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    assert script == ["/usr/local/lib/wake/wake-report", "%i"]
    monitor = {
        "MONITOR_UNIT": "nightly-build.service",
        "MONITOR_INVOCATION_ID": "4f1c0b9a2d5e4c6f8a7b1c2d3e4f5a6b",
        "MONITOR_SERVICE_RESULT": "success" if status == "0" else "exit-code",
        "MONITOR_EXIT_CODE": how,
        "MONITOR_EXIT_STATUS": status,
    }
    words = [str(ROOT / "examples/systemd/wake-report"), KEY]
    done = subprocess.run(words, cwd=tmp_path, env=environment(tmp_path, **monitor), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    (kept,) = spooled(tmp_path)
    assert (kept["session_key"], kept["completion_id"]) == (KEY, monitor["MONITOR_INVOCATION_ID"])
    assert "nightly-build.service: " in kept["output"]
    assert end.items() <= kept.items()


def hook(call: dict[str, Any], session_key: str = KEY) -> Any:
    env = {**os.environ, "WAKE_SESSION_KEY": session_key}
    done = subprocess.run(
        [sys.executable, "-I", "-S", HOOK], input=json.dumps(call), env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout) if done.stdout else None


def test_a_background_command_of_a_coding_agent_is_run_and_reported(tmp_path: Path) -> None:
    asked = {"command": 'echo "it\'s" $((6 * 7)); exit 3', "run_in_background": True, "description": "count"}
    told = hook({"tool_name": "Bash", "tool_use_id": "toolu_01", "tool_input": asked})["hookSpecificOutput"]
    assert (told["hookEventName"], told["permissionDecision"]) == ("PreToolUse", "ask")
    changed = told["updatedInput"]
    assert {**changed, "command": asked["command"]} == asked
    done = subprocess.run(
        ["sh", "-c", changed["command"]], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stdout) == (3, "it's 42\n")
    (kept,) = spooled(tmp_path)
    assert (kept["completion_id"], kept["session_key"], kept["exit_code"], kept["output"]) == ("toolu_01", KEY, 3, "it's 42\n")


def test_the_hook_leaves_everything_else_as_it_is() -> None:
    background = {"command": "make", "run_in_background": True}
    assert hook({"tool_name": "Bash", "tool_input": {"command": "make"}}) is None
    assert hook({"tool_name": "Read", "tool_input": background}) is None
    assert hook({"tool_name": "Bash", "tool_input": background}, session_key="") is None
    assert hook({"tool_name": "Bash", "tool_input": background})["hookSpecificOutput"]["updatedInput"]["run_in_background"] is True
