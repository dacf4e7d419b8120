#!/usr/bin/env python3
"""A hook for coding agents that run shell commands in the background: such a command is run by `wake exec`, which reports its end.

A JSON document on stdin, another on stdout, in a form that is meant for `PreToolUse` hooks of Claude Code (matcher `Bash`) and was not
tried with it: look whether your agent sends and takes just that.

    {"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "/path/to/wake_background.py"}]}]}}

WAKE_SESSION_KEY says whose command it is; without it nothing is changed. A hook that changes a command has to say what becomes of the
question for permission: WAKE_HOOK_DECISION is `ask` (the default: the user sees the command as it will run) or `allow`.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import Any


def answer(call: dict[str, Any], session_key: str, decision: str) -> dict[str, Any] | None:
    """What the agent's harness is told about one tool call; None leaves it as it is."""
    asked = call.get("tool_input")
    if call.get("tool_name") != "Bash" or not isinstance(asked, dict) or asked.get("run_in_background") is not True:
        return None
    command, use = asked.get("command"), call.get("tool_use_id")
    if not isinstance(command, str) or not session_key:
        return None
    # The id of the call, where the harness tells it, makes a repeated report one.
    words = [
        "wake",
        "exec",
        "--session-key",
        session_key,
        *(["--id", use] if isinstance(use, str) and use else []),
        "--",
        "bash",
        "-c",
        command,
    ]
    changed = {**asked, "command": shlex.join(words)}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": decision, "updatedInput": changed}}


if __name__ == "__main__":
    told = answer(json.load(sys.stdin), os.environ.get("WAKE_SESSION_KEY", ""), os.environ.get("WAKE_HOOK_DECISION", "ask"))
    if told is not None:
        print(json.dumps(told))
