"""The ledger of a real run is one that the model allows, and a doctored one is not."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.seeds.reference import NotAllowed, Turns
from tests.seeds.trace import lines_of, replay
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, ids
from tests.support.gateway_fixture import gateway

__all__ = ["gateway"]
A = "ops-1"


def line(what: str, token: int, batch: str = A, **detail: Any) -> dict[str, str]:
    return {"agent": "ops", "what": what, "at": "1", "token": str(token), "batch": batch, "detail": json.dumps(detail)}


def begun(token: int, attempt: int = 1, n: int = 2, batch: str = A, session: str = "agent:ops:main") -> dict[str, str]:
    return line("begun", token, batch, n=n, session=session, attempt=attempt)


GOOD = [
    line("deferred", 1, ""), begun(2), line("failed", 2, error="boom", delay_ms=1), begun(3, 2), line("reclaimed", 3, holder="h1"),
    line("taken-over", 3), line("deferred", 4, ""), begun(5, 3), line("ran", 5, n=2), begun(6, batch="ops-6"),
    line("busy", 6, "ops-6", reason="x"), begun(7, batch="ops-7"), line("dead-lettered", 7, "ops-7", n=2), line("revived", 0, ""),
]  # fmt: skip


def test_a_course_of_events_that_may_be() -> None:
    traced = replay(GOOD)
    assert (traced.refused, traced.words["begun"]) == ({}, 5)


@pytest.mark.parametrize(
    ("doctored", "why"),
    [
        ([begun(2), begun(3, batch="ops-3")], "begins while ops-1 runs"),
        ([begun(2), line("ran", 3, n=2)], "newest is 2|under 3"),
        ([begun(2), line("ran", 2, n=2), line("ran", 2, n=2)], "never began, or ran"),
        ([begun(2), line("ran", 2, n=2), begun(3, 2)], "after it has ran"),
        ([begun(2), line("ran", 2, n=1)], "began with 2 wakes and ends with 1"),
        ([begun(2), line("failed", 2, delay_ms=1), begun(3, 3)], "attempt 3 follows 1"),
        ([begun(2), line("failed", 2, delay_ms=1), begun(3, 2, n=3)], "was 2 of"),
        ([begun(2), line("failed", 2, delay_ms=1), begun(3, batch="ops-3")], "blocks"),
        ([begun(2), line("failed", 2, delay_ms=1), begun(1, 2)], "2 is newer"),
        ([line("taken-over", 2)], "is taken over, and None runs"),
        ([begun(2), line("deferred", 2, "")], "while ops-1 runs"),
        ([line("danced", 2)], "no receipt is called"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_doctored_trace_is_refused(doctored: list[dict[str, str]], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(replay(doctored).refused["ops"])


def test_a_ledger_that_forgot_its_beginning_is_read_from_the_middle() -> None:
    tail = GOOD[2:]
    assert replay(tail).refused
    assert replay(tail, whole=False).refused == {}


def test_a_token_is_never_given_twice() -> None:
    turns = Turns()
    turns.leased(5)
    with pytest.raises(NotAllowed, match="not newer"):
        turns.leased(5)


@pytest.mark.slow
def test_a_real_run_is_one_that_the_model_allows(gateway: Gateway) -> None:
    """Failures, a worker that is killed in its turn, and ordinary work; then the same ledger with one receipt too many, or too few."""
    gateway.start_router()
    first = gateway.start_worker()
    gateway.ready()
    gateway.plan("ops", gate="open")
    gateway.submit(*ids("c", 5))
    gateway.started(1)
    first.signal(signal.SIGKILL)
    first.ends()
    gateway.start_worker()
    gateway.open("open")
    gateway.submit(*ids("d", 5))
    gateway.quiet(settled=10)
    wait_until(lambda: gateway.records()[-1:] == ["ran"], PATIENCE_S, "the last receipt is written")
    lines = lines_of(gateway.store)
    traced = replay(lines)
    assert traced.refused == {}
    assert traced.words["taken-over"] == 1
    end = max(n for n, one in enumerate(lines) if one["what"] == "ran")
    assert replay([*lines, lines[end]]).refused
    begin = min(n for n, one in enumerate(lines) if one["what"] == "begun")
    assert replay(lines[:begin] + lines[begin + 1 :]).refused
