"""How many workers a pool wants: from what could start now, what runs, and how long a heartbeat takes. Pure numbers."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple


class Backlog(NamedTuple):
    """One pool at one moment: agents that could start, agents that run, ms since the one that waits longest could, the mean turn in ms.

    `turn_ms` 0: no heartbeat ended lately.
    """

    pool: str
    eligible: int
    running: int
    oldest_ms: int
    turn_ms: int


def wanted_workers(backlog: Backlog, concurrency: int, wait_ms: int, turn_ms: int, max_running: int = 0) -> int:
    """Workers with `concurrency` places each, so that whoever could start now does within `wait_ms`; 0 when nobody could and nobody runs.

    s places start s - running at once and s more in each `turn_ms`: s = (eligible + running) / (1 + wait / turn), and no fewer than run.
    More than `max_running` (0: no cap) at a time would only wait for a place. Who is late already wants all places at once.
    """
    if backlog.eligible + backlog.running == 0:
        return 0
    left_ms = max(0, wait_ms - backlog.oldest_ms)
    places = max(backlog.running, (backlog.eligible + backlog.running) / (1 + left_ms / max(turn_ms, 1)))
    return ceil((min(places, max_running) if max_running > 0 else places) / concurrency)
