"""How every peer is asked to submit: `python -m bench.peers.NAME submit '{"agents": 10, "each": 5, "paced": false}'`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.notes import NOTES, Notes

PACED_LIMIT_S = 10.0


def pairs(agents: int, each: int) -> Iterator[tuple[str, str]]:
    """(agent, id), interleaved: the first of each agent, then the second of each."""
    for turn in range(each):
        for number in range(agents):
            yield f"a{number}", f"a{number}-{turn}"


def run(submit: Callable[[str, str], object], around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
    """Submits what the command line says and prints when: {"started": ns, "ended": ns, "sent": {id: ns}} (the last for paced ones)."""
    asked = json.loads(sys.argv[2])
    submit("warm", "warm-0")
    notes = Notes(Path(os.environ[NOTES]))
    if not notes.wait(1, 60):
        raise SystemExit("the first one never ran")
    sent: dict[str, int] = {}
    started = time.time_ns()
    if asked.get("paced"):
        for place, (agent, name) in enumerate(pairs(asked["agents"], asked["each"])):
            sent[name] = time.time_ns()
            submit(agent, name)
            notes.wait(place + 2, PACED_LIMIT_S)
            time.sleep(0.02)
    else:
        with around():
            for agent, name in pairs(asked["agents"], asked["each"]):
                submit(agent, name)
    print(json.dumps({"started": started, "ended": time.time_ns(), "sent": sent}))
