"""This program, as its README has it. `batch` in what is asked: reported inside `with batch():`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext

from bench.notes import heartbeat
from bench.peers import submitting
from dispatcher import batch, exec_completed
from dispatcher.core.models import HeartbeatRequest, Ran


def turn(request: HeartbeatRequest) -> Ran:
    """The runner of every agent."""
    heartbeat(request.agent_id, list(request.completion_ids))
    return Ran()


def submit(agent: str, name: str) -> None:
    exec_completed.delay(completion_id=name, session_key=f"agent:{agent}:main", exit_code=1)


if __name__ == "__main__":
    submitting.run(submit, batch if json.loads(sys.argv[2]).get("batch") else nullcontext)
