"""One frame of `wake top` as lines of 80 columns; words say what colours would."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dispatcher.cli.output import age, plain
from dispatcher.viewing import AgentRow, Frame, PoolRow

WIDTHS = (19, 9, 25, 9, 6, 7)
RIGHT = (3, 4, 5)
TITLES = ("agent", "pool", "state", "time", "waits", "oldest")


def clock(ms: int) -> str:
    """Minutes and seconds, hours before them where there are some: `0:07`, `12:30`, `3:00:00`."""
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def head(frame: Frame) -> str:
    """Whether work would be done now, and how much there is."""
    at = time.strftime("%H:%M:%S", time.localtime(frame.at_ms / 1000))
    there = f"ready: routers {frame.routers}, workers {frame.workers}"
    state = there if frame.ready else "NOT READY: no " + ", no ".join(frame.missing)
    return plain(f"{at} {state}; inbox {frame.inbox}, work {frame.working}, run {frame.running}, dead {frame.dead}")


def pool_line(row: PoolRow) -> str:
    """One pool, with how long what is due first has been due."""
    late = "" if row.late_ms is None or row.late_ms < 1000 else f", late {clock(row.late_ms)}"
    counts = f"work {row.working}, run {row.running}, dead {row.dead}"
    return plain(f"pool {row.pool}: workers {row.workers}, {counts}, heartbeats {row.heartbeats}{late}")


def agent_line(row: AgentRow) -> str:
    """One agent: a running one with its token and for how long, a deferred one with why and the time that is left."""
    state = f"running {row.token}" if row.state == "running" else f"{row.state}: {row.reason}" if row.reason else row.state
    moment = clock(row.for_ms) if row.for_ms is not None else f"in {clock(row.left_ms)}" if row.left_ms is not None else ""
    waits = f"{row.waiting}+{row.parked}" if row.parked else str(row.waiting)
    oldest = "" if row.oldest_ms is None else age(row.oldest_ms / 1000)
    return _columns((row.agent_id, row.pool, state, moment, waits, oldest))


def title_line() -> str:
    return _columns(TITLES)


def rest_line(frame: Frame, shown: int) -> str:
    """Which agents these are."""
    asked = frame.asked
    which = (f", matching {asked.part}" if asked.part else "") + (f", pool {asked.pool}" if asked.pool else "")
    return plain(f"{shown} of {max(frame.working, frame.matching)} agents with work{which}; sorted by {asked.sort}")


def lines(frame: Frame) -> list[str]:
    """A whole frame."""
    agents = [agent_line(row) for row in frame.agents]
    return [head(frame), *map(pool_line, frame.pools), rest_line(frame, len(agents)), *([title_line(), *agents] if agents else [])]


def _columns(cells: Sequence[str]) -> str:
    fitted = [cell if len(cell) <= width else cell[: width - 1] + "…" for cell, width in zip(map(plain, cells), WIDTHS, strict=True)]
    return " ".join(cell.rjust(w) if i in RIGHT else cell.ljust(w) for i, (cell, w) in enumerate(zip(fitted, WIDTHS, strict=True))).rstrip()
