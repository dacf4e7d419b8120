"""How many workers a pool wants."""

from __future__ import annotations

import pytest

from dispatcher.core.scaling import Backlog, wanted_workers


def backlog(eligible: int, running: int = 0, oldest_ms: int = 0) -> Backlog:
    return Backlog("agents", eligible, running, oldest_ms, 10_000)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (backlog(0), 0),
        (backlog(1), 1),
        (backlog(0, running=9), 2),  # what runs keeps its places
        (backlog(80), 3),  # 20 places: 20 at once, 20 more in each of the three turns that fit into the wait
        (backlog(80, running=8), 3),
        (backlog(80, oldest_ms=30_000), 10),  # late already: all at once
        (backlog(80, oldest_ms=99_000), 10),
    ],
)
def test_whoever_could_start_now_does_within_the_wait(found: Backlog, wanted: int) -> None:
    assert wanted_workers(found, 8, 30_000, 10_000) == wanted


def test_a_longer_turn_wants_more_and_a_cap_wants_no_more_than_it_lets_run() -> None:
    assert wanted_workers(backlog(80), 8, 30_000, 30_000) == 5
    assert wanted_workers(backlog(80), 8, 30_000, 30_000, max_running=16) == 2


def test_turns_of_no_time_want_one_worker_for_any_backlog() -> None:
    assert wanted_workers(backlog(10_000), 8, 30_000, 1) == 1
