"""Time limits of many heartbeats on one thread."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.gates import wait_until
from workers.runners.deadlines import Deadlines

PATIENCE_S = 60.0


@pytest.mark.timeout(120)
def test_a_nearer_time_that_comes_later_is_kept_and_a_far_one_never_called() -> None:
    deadlines, far, near = Deadlines(), threading.Event(), threading.Event()
    with deadlines.calling_at(time.monotonic() + 3600, far.set), deadlines.calling_at(time.monotonic() + 0.01, near.set):
        assert near.wait(PATIENCE_S)
    assert not far.is_set()


@pytest.mark.timeout(120)
def test_a_time_that_has_passed_is_called_at_once_and_each_is_called_once() -> None:
    deadlines, calls = Deadlines(), list[float]()
    with deadlines.calling_at(0.0, lambda: calls.append(time.monotonic())):
        wait_until(lambda: bool(calls), PATIENCE_S, "it was called")
        with deadlines.calling_at(0.0, lambda: calls.append(time.monotonic())):
            wait_until(lambda: len(calls) > 1, PATIENCE_S, "the thread went round again")
    assert len(calls) == 2


@pytest.mark.timeout(120)
def test_once_the_block_was_left_no_call_runs_or_comes() -> None:
    deadlines, runs, may_end, left = Deadlines(), threading.Event(), threading.Event(), threading.Event()

    def callback() -> None:
        runs.set()
        may_end.wait(PATIENCE_S)

    def block() -> None:
        with deadlines.calling_at(0.0, callback):
            runs.wait(PATIENCE_S)
        left.set()

    thread = threading.Thread(target=block)
    thread.start()
    assert runs.wait(PATIENCE_S)
    assert not left.is_set()
    may_end.set()
    thread.join(PATIENCE_S)
    assert left.is_set()


@pytest.mark.timeout(120)
def test_a_callback_that_raises_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    deadlines, next_one = Deadlines(), threading.Event()
    with deadlines.calling_at(0.0, lambda: 1 / 0):
        wait_until(lambda: "at a time limit" in caplog.text, PATIENCE_S, "it is said")
    with deadlines.calling_at(0.0, next_one.set):
        assert next_one.wait(PATIENCE_S)
