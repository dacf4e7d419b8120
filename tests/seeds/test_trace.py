"""The ledger of a real run is one that the model allows, and a doctored one is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from dispatcher.config import load
from dispatcher.embedded import EmbeddedServer
from dispatcher.store.opened import open_store
from tests.seeds.reference import NotAllowed, Turns
from tests.seeds.trace import lines_of, replay, traced
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, ids
from tests.support.gateway_fixture import gateway
from tests.support.sources import ROOT

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
    found = replay(GOOD)
    assert (found.refused, found.words["begun"]) == ({}, 5)


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


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: the demo's server has its socket in it."""
    path = Path(tempfile.mkdtemp(prefix="wk-"))
    yield path
    rmtree(path, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_is_one_that_the_model_allows(folder: Path) -> None:
    """What it leaves on disk, read again by the program that does this for any store; and that program says when it is not so."""
    env = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    words = (sys.executable, "-m", "dispatcher.cli", "demo", "--keep", "--json")
    demo = json.loads(subprocess.run(words, cwd=folder, env=env, capture_output=True, timeout=400, check=True).stdout)
    config = load(Path(demo["folder"], "wake.toml"), {})
    server = EmbeddedServer(config.data_dir)
    store = open_store(config, server.start(60))
    check = (sys.executable, "-m", "tests.seeds.trace", "--config", str(Path(demo["folder"], "wake.toml")))
    try:
        found = traced(store)
        assert (found.refused, found.words["begun"]) == ({}, demo["heartbeats"])
        allowed = subprocess.run(check, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert (allowed.returncode, allowed.stderr) == (0, "")
        last = [one for one in lines_of(store) if one["what"] == "ran"][-1]
        home = store.ledger.home_of(last["agent"])
        assert home
        store.client.xadd(store.keys.agent(home[0], last["agent"])["ledger"], dict(last))
        refused = subprocess.run(check, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert refused.returncode == 1
        assert f"{last['agent']}: ran at" in refused.stderr
    finally:
        store.close()
        server.stop()


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
    lines, found = lines_of(gateway.store), traced(gateway.store)
    assert found.refused == {}
    assert found.words["taken-over"] == 1
    end = max(n for n, one in enumerate(lines) if one["what"] == "ran")
    assert replay([*lines, lines[end]]).refused
    begin = min(n for n, one in enumerate(lines) if one["what"] == "begun")
    assert replay(lines[:begin] + lines[begin + 1 :]).refused
