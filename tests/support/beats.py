"""The heartbeats that took place, read from what the runners noted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.recorder import LOG

BUSY = 75


@dataclass(frozen=True)
class Beat:
    """One heartbeat. `ended` stays None when it was killed; `beside` are older commands of its agent that still lived."""

    agent_id: str
    session_key: str
    batch_id: str
    attempt: int
    token: int
    ids: tuple[str, ...]
    events: int
    digest: str | None
    pid: int
    parent: int
    thread: int
    started: float
    ended: float | None
    exit: int | None
    cancelled: float | None
    beside: tuple[int, ...]


def read_beats(folder: Path) -> list[Beat]:
    """In the order in which they started."""
    log = folder / LOG
    text = log.read_text() if log.exists() else ""
    lines: list[dict[str, Any]] = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    later: dict[tuple[str, str, int, int], dict[str, Any]] = {
        (line["word"], line["batch_id"], line["attempt"], line["token"]): line for line in lines
    }
    return [_beat(line, later) for line in lines if line["word"] == "start"]


def _beat(line: dict[str, Any], later: dict[tuple[str, str, int, int], dict[str, Any]]) -> Beat:
    who = line["batch_id"], line["attempt"], line["token"]
    end, cancel = later.get(("end", *who)), later.get(("cancel", *who))
    return Beat(
        agent_id=line["agent_id"],
        session_key=line["session_key"],
        batch_id=line["batch_id"],
        attempt=line["attempt"],
        token=line["token"],
        ids=tuple(line["completion_ids"]),
        events=line["events"],
        digest=line["digest"],
        pid=line["pid"],
        parent=line["parent"],
        thread=line["thread"],
        started=line["at"],
        ended=end["at"] if end else None,
        exit=end["exit"] if end else None,
        cancelled=cancel["at"] if cancel else None,
        beside=tuple(line["beside"]),
    )


def assert_one_at_a_time(beats: Iterable[Beat]) -> None:
    """Of one agent, no heartbeat started while another ran, and tokens only grew."""
    of: dict[str, list[Beat]] = defaultdict(list)
    for beat in beats:
        of[beat.agent_id].append(beat)
    for agent_id, own in of.items():
        for earlier, later in pairwise(own):
            assert earlier.ended is None or earlier.ended <= later.started, f"{agent_id}: two at once: {earlier} and {later}"
            assert earlier.token < later.token, f"{agent_id}: the token did not grow: {earlier} and {later}"
        assert not [beat for beat in own if beat.beside], f"{agent_id}: an older command still lived when a new one started"


def assert_each_once(beats: Sequence[Beat], ids: Iterable[str]) -> None:
    """Each id was in the heartbeats of one batch only, and that batch ended well once. Heartbeats that were busy never took place."""
    batches: dict[str, set[str]] = defaultdict(set)
    for beat in beats:
        if beat.exit != BUSY:
            for completion_id in beat.ids:
                batches[completion_id].add(beat.batch_id)
    expected = set(ids)
    assert set(batches) == expected, f"missing {sorted(expected - set(batches))[:5]}, foreign {sorted(set(batches) - expected)[:5]}"
    doubled = {completion_id: found for completion_id, found in batches.items() if len(found) > 1}
    assert not doubled, f"in more than one batch: {dict(list(doubled.items())[:3])}"


def ids_of(beats: Iterable[Beat]) -> list[str]:
    """Every id as often as it was shown."""
    return [completion_id for beat in beats for completion_id in beat.ids]
