"""The heartbeat of the campaign: notes who ran, when, with what, and which older command of the same agent still lived.

`TURN_AGENT` is whose configuration started it; the request on standard input may say otherwise, and must not. One file an agent, one write
a line. `seconds` in the folder, or `seconds<agent>`, is how long a turn takes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def born(pid: int | str) -> str | None:
    """When the process started, by the kernel; None for one that is gone, or a zombie. Tells a process from one that got its number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def note(path: Path, **words: object) -> None:
    log = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(log, (json.dumps(words) + "\n").encode())
    os.close(log)


def noted(path: Path) -> list[dict[str, Any]]:
    """What was noted so far. A line that is being written has no end yet."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def older(path: Path) -> list[int]:
    """Commands of this agent that started before, did not end, and live."""
    open_turns: dict[str, dict[str, str]] = {}
    for said in noted(path):
        if said["word"] == "start":
            open_turns[said["turn"]] = said
        else:
            open_turns.pop(said["turn"], None)
    return [int(turn["pid"]) for turn in open_turns.values() if born(turn["pid"]) == turn["born"]]


def main() -> None:
    folder, agent = Path(os.environ["HEARTBEATS"]), os.environ["TURN_AGENT"]
    path = folder / f"{agent}.jsonl"
    request = json.load(sys.stdin)
    turn = f"{os.getpid()}.{born(os.getpid())}"
    note(
        path,
        word="start",
        turn=turn,
        pid=os.getpid(),
        born=born(os.getpid()),
        parent=os.getppid(),
        at=time.monotonic(),
        beside=older(path),
        **{name: request[name] for name in ("agent_id", "session_key", "batch_id", "attempt", "token", "completion_ids")},
    )
    own = folder / f"seconds{agent}"
    time.sleep(float((own if own.exists() else folder / "seconds").read_text()))
    note(path, word="end", turn=turn, at=time.monotonic())


if __name__ == "__main__":
    main()
