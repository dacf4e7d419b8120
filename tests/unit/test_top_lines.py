"""A frame of `wake top` as lines: pure, and never wider than 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatcher.cli.top import SORTS
from dispatcher.cli.top_lines import agent_line, clock, head, lines, pool_line, rest_line, title_line
from dispatcher.viewing import SORTS as VIEWER_SORTS
from dispatcher.viewing import AgentRow, Asked, Frame, PoolRow

IDLE = AgentRow("ops", "agents", "idle", None, None, 0, 0, None, 7)
RUNS = replace(IDLE, state="running", for_ms=754_000, token=1_767_225_600_000_000, batch_id="ops-1767225600000000", waiting=2)
WAITS = replace(IDLE, state="deferred", reason="min-spacing", left_ms=12_900, waiting=3, parked=1, oldest_ms=61_000)
FRAME = Frame(0, (), 1, 2, 0, 3, 2, 1, (PoolRow("agents", 2, 2, 1, 65_000, 40, 3),), (RUNS, WAITS), 2, Asked())


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0:00"), (7_999, "0:07"), (754_000, "12:34"), (3_600_000, "1:00:00"), (90_061_000, "25:01:01")]
)
def test_clock(ms: int, text: str) -> None:
    assert clock(ms) == text


def test_what_each_line_says() -> None:
    """A running agent its token and for how long, a deferred one why and how long still."""
    assert agent_line(RUNS).split() == ["ops", "agents", "running", "1767225600000000", "12:34", "2"]
    assert agent_line(WAITS).split() == ["ops", "agents", "deferred:", "min-spacing", "in", "0:12", "3+1", "1", "min"]
    assert agent_line(IDLE).split() == ["ops", "agents", "idle", "0"]
    assert pool_line(FRAME.pools[0]) == "pool agents: workers 2, work 2, run 1, dead 3, heartbeats 40, late 1:05"
    assert head(FRAME).endswith("ready: routers 1, workers 2; inbox 0, work 2, run 1, dead 3")
    assert "NOT READY: no router; inbox 0" in head(replace(FRAME, missing=("router",)))
    assert rest_line(replace(FRAME, asked=Asked("lab-*", "quiet", "oldest")), 2) == (
        "2 of 2 agents with work, matching lab-*, pool quiet; sorted by oldest"
    )


def test_columns_stand_below_their_titles_and_fit() -> None:
    """Whatever the names: a name may be 64 characters long."""
    long = replace(WAITS, agent_id="a" * 64, pool="p" * 40, reason="dead-letters-full-and-more", waiting=1_000_000, left_ms=999_999_999)
    shown = lines(replace(FRAME, agents=(RUNS, long)))
    assert max(map(len, shown[3:])) <= 80
    assert shown[3] == title_line()
    assert shown[4].index("running") == shown[3].index("state")
    assert all(line.isprintable() for line in shown)


def test_what_an_agent_is_called_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in agent_line(replace(WAITS, reason="\x1b[31mred"))


def test_the_command_offers_what_the_viewer_sorts_by() -> None:
    """Named twice, because the help of `wake` loads no store."""
    assert SORTS == VIEWER_SORTS
