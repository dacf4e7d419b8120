"""Waiting for a condition. The only place under tests/ that may sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str, *, every_s: float = 0.02) -> T:
    """Polls until `predicate()` is truthy and returns its answer; raises AssertionError that names `what` after `timeout_s`.

    The predicate is asked once more after the deadline, so that a machine that stood still does not fail a test.
    An exception of the predicate is not swallowed.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := predicate()):
        if time.monotonic() >= deadline:
            if answer := predicate():
                return answer
            raise AssertionError(f"not within {timeout_s:g} s: {what} (last answer: {answer!r})")
        time.sleep(every_s)
    return answer
