"""`wake demo` as a process of its own: what it proves, and that it leaves nothing behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

import pytest

from tests.support.gates import wait_until
from tests.support.sources import ROOT

DEMO = (sys.executable, "-m", "dispatcher.cli", "demo")
LATE = (
    sys.executable,
    "-c",
    "from dispatcher.cli import demo_run as d; d.DEADLINE_S = 3.0; raise SystemExit(d.run(keep=False, as_json=True))",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo makes its folder. A short path: the server's socket lies in it."""
    path = Path(tempfile.mkdtemp(prefix="wk-"))
    yield path
    for pid in running_in(path):  # of a test that failed
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    rmtree(path, ignore_errors=True)


@contextmanager
def demo(folder: Path, words: tuple[str, ...] = DEMO) -> Iterator[subprocess.Popen[bytes]]:
    """The running demo, in an environment that points at a server and a broker that are not there."""
    env = os.environ | {
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "WAKE_REDIS_URL": "redis://127.0.0.1:1/0",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    with subprocess.Popen(words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def running_in(folder: Path) -> set[int]:
    """Every process that was started by a demo in this folder, however far down: they inherit TMPDIR."""
    mark = f"TMPDIR={folder}\0".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # ended meanwhile, or another user's
            if mark in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def heard_anything(folder: Path) -> bool:
    return any(folder.glob("wake-demo-*/heard/*.jsonl"))


@pytest.mark.timeout(450)
def test_the_demo_ends_well_and_says_why(folder: Path) -> None:
    with demo(folder, (*DEMO, "--json")) as process:
        said, progress = process.communicate(timeout=400)
    found = json.loads(said)
    assert (process.returncode, found["ok"], found["problems"]) == (0, True, []), progress
    assert found["completions"] == found["accepted"] == 210
    assert (found["settled"], found["dead"], found["balance"]) == (208, 2, 0)
    assert (found["foreign_wakes"], found["lost"], found["repeated"], found["overlapping_heartbeats"]) == (0, [], [], 0)
    assert {name: agent["completions"] for name, agent in found["agents"].items()} == dict.fromkeys(
        ("ops", "build", "data", "research"), 52
    )
    assert 4 <= found["heartbeats"] < 100
    letters = {(letter["reason"], letter["session_key"]) for letter in found["dead_letters"]}
    assert letters == {("unbound-key", "node-lab"), ("unknown-agent", "agent:ghost:main")}
    assert found["duration_s"] > 0
    assert b"208 completions in" in progress
    assert (running_in(folder), list(folder.iterdir())) == (set(), [])


@pytest.mark.timeout(450)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_demo_that_is_stopped_cleans_up(folder: Path, number: signal.Signals) -> None:
    with demo(folder) as process:
        wait_until(lambda: heard_anything(folder) or process.poll() is not None, 200, "a heartbeat runs")
        assert len(running_in(folder)) > 4
        process.send_signal(number)
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 128 + number
    assert b"nothing is proved" in said
    assert (running_in(folder), list(folder.iterdir())) == (set(), [])


@pytest.mark.timeout(450)
@pytest.mark.slow
def test_a_demo_that_is_killed_leaves_no_process(folder: Path) -> None:
    with demo(folder) as process:
        wait_until(lambda: heard_anything(folder) or process.poll() is not None, 200, "a heartbeat runs")
        process.kill()
    wait_until(lambda: not running_in(folder), 200, "every process of the killed demo has ended")


@pytest.mark.timeout(450)
@pytest.mark.slow
def test_a_demo_without_enough_time_says_where_it_stands(folder: Path) -> None:
    with demo(folder, LATE) as process:
        said, _ = process.communicate(timeout=200)
    found = json.loads(said)
    assert (process.returncode, found["ok"]) == (1, False)
    assert "not finished within 3 s" in found["problems"][0]
    assert str(next(folder.glob("wake-demo-*")) / "up.log") in found["problems"][0]
    assert Path(found["folder"], "up.log").exists()
    assert running_in(folder) == set()
