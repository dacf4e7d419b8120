"""The runner of the tests of the whole path: notes when each heartbeat starts and ends, and does what the test planned for its agent.

As a program it is a `command` runner, as `tests.support.recorder:beat` a `python` one. Both find their folder in `HEARTBEATS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG, PLANS, GATES = "beats.jsonl", "plans", "gates"
LOOK_S = 0.01


def note(folder: Path, word: str, request: Mapping[str, Any], **more: Any) -> None:
    """One line in one write: lines of many processes never mix."""
    line = {"word": word, "at": time.monotonic(), "pid": os.getpid(), "parent": os.getppid(), "thread": threading.get_ident()}
    names = ("agent_id", "session_key", "batch_id", "attempt", "token", "completion_ids", "reason", "digest", "truncated")
    line |= {name: request[name] for name in names} | more
    log = os.open(folder / LOG, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    try:
        os.write(log, (json.dumps(line) + "\n").encode())
    finally:
        os.close(log)


def plan_of(folder: Path, agent_id: str) -> dict[str, Any]:
    """`seconds` to take, `gate` to wait for, `exit` (`exits` by attempt), `stubborn`: ignores SIGTERM, `child`: file for a child's pid."""
    for name in (agent_id, "any"):
        with contextlib.suppress(FileNotFoundError):
            plan: dict[str, Any] = json.loads((folder / PLANS / f"{name}.json").read_text())
            return plan
    return {}


def carry_out(folder: Path, plan: Mapping[str, Any]) -> None:
    if plan.get("child"):
        # It ends by itself: of several attempts only the last one's child is noted, and a test that fails clears nothing away.
        child = subprocess.Popen(["sleep", "900"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (folder / plan["child"]).write_text(f"{child.pid}\n")
    threading.Event().wait(plan.get("seconds", 0))
    while plan.get("gate") and not (folder / GATES / plan["gate"]).exists():
        threading.Event().wait(LOOK_S)


def beat(request: Any, cancel: threading.Event) -> bool:
    """The `python` runner. Told to give up, it says so, and goes on as planned: it can only be asked."""
    folder, words = Path(os.environ["HEARTBEATS"]), request.model_dump(mode="json")
    note(folder, "start", words, events=len(request.events), beside=[])

    def told_to_give_up() -> None:
        cancel.wait()
        note(folder, "cancel", words)

    threading.Thread(target=told_to_give_up, daemon=True).start()
    carry_out(folder, plan_of(folder, request.agent_id))
    note(folder, "end", words, exit=0)
    return True


def main() -> int:
    folder, words = Path(os.environ["HEARTBEATS"]), json.load(sys.stdin)
    plan = plan_of(folder, words["agent_id"])
    if plan.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(folder, "start", words, events=len(words["events"]), beside=still_running(folder, words["agent_id"]))
    carry_out(folder, plan)
    code = int(plan.get("exits", {}).get(str(words["attempt"]), plan.get("exit", 0)))
    note(folder, "end", words, exit=code)
    return code


def still_running(folder: Path, agent_id: str) -> list[int]:
    """Commands of the same agent that live now: there must be none."""
    if not (folder / LOG).exists():
        return []
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    started = {line["pid"] for line in lines if line["agent_id"] == agent_id and line["word"] == "start"}
    ended = {line["pid"] for line in lines if line["agent_id"] == agent_id and line["word"] == "end"}
    return sorted(pid for pid in started - ended if lives(pid))


def lives(pid: int) -> bool:
    """Whether the process can still do anything: a zombie cannot."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    raise SystemExit(main())
