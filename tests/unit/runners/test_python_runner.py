"""The python runner: what the function's answer means, and that it is waited for whatever happens."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran, Skipped
from tests.support.requests import request
from workers.runners import Cancelled, Control, RunResult
from workers.runners.python import PythonRunner, load

HERE = __name__


def run(function: str, control: Control | None = None) -> RunResult:
    return PythonRunner(f"{HERE}:Beats.{function}").run(request(), control or Control(60))


class Gates:
    """Between a function that runs in another thread and its test."""

    entered = threading.Event()
    release = threading.Event()


@pytest.fixture(autouse=True)
def gates() -> None:
    Gates.entered, Gates.release = threading.Event(), threading.Event()


class Beats:
    """Targets."""

    @staticmethod
    def none(asked: HeartbeatRequest) -> None:
        assert asked == request()

    @staticmethod
    def true(_: HeartbeatRequest) -> bool:
        return True

    @staticmethod
    def false(_: HeartbeatRequest) -> bool:
        return False

    @staticmethod
    def skipped(_: HeartbeatRequest) -> Skipped:
        return Skipped(reason="nothing new")

    @staticmethod
    def busy(_: HeartbeatRequest) -> Busy:
        return Busy(retry_after_ms=5)

    @staticmethod
    def other(_: HeartbeatRequest) -> dict[str, int]:
        return {"a": 1}

    @staticmethod
    def optional_second(_: HeartbeatRequest, verbose: bool = False) -> bool:
        return verbose

    @staticmethod
    def second(_: HeartbeatRequest, token: threading.Event, /) -> bool:
        return isinstance(token, threading.Event)

    @staticmethod
    def keyword(_: HeartbeatRequest, *, cancel: threading.Event | None = None) -> bool:
        return isinstance(cancel, threading.Event)

    @staticmethod
    def raises(_: HeartbeatRequest) -> None:
        raise ValueError("bad \x1b[31m" + "x" * 10_000)

    @staticmethod
    def exits(_: HeartbeatRequest) -> None:
        sys.exit(3)

    @staticmethod
    async def coroutine(_: HeartbeatRequest) -> None: ...

    @staticmethod
    def cooperative(_: HeartbeatRequest, cancel: threading.Event) -> None:
        Gates.entered.set()
        assert cancel.wait(200)

    @staticmethod
    def raises_when_cancelled(_: HeartbeatRequest, cancel: threading.Event) -> None:
        Gates.entered.set()
        assert cancel.wait(200)
        raise KeyError

    @staticmethod
    def says_ran(_: HeartbeatRequest, cancel: threading.Event) -> Ran:
        Gates.entered.set()
        assert cancel.wait(200)
        return Ran(note="was nearly done")

    @staticmethod
    def stubborn(_: HeartbeatRequest) -> None:
        Gates.entered.set()
        assert Gates.release.wait(200)


@pytest.mark.parametrize(
    ("function", "result"),
    [
        ("none", Ran()),
        ("true", Ran()),
        ("false", Ran(acted=False)),
        ("skipped", Skipped(reason="nothing new")),
        ("busy", Busy(retry_after_ms=5)),
        ("other", Ran(note="the function returned a dict, which says nothing; return None, a bool or an Outcome")),
        ("optional_second", Ran(acted=False)),
        ("second", Ran()),
        ("keyword", Ran()),
    ],
)
def test_the_answer_of_the_function_is_the_outcome(function: str, result: RunResult) -> None:
    assert run(function) == result


def test_an_exception_is_failed_bounded_and_clean() -> None:
    result = run("raises")
    assert isinstance(result, Failed)
    assert result.error.startswith("ValueError: bad xxx")
    assert len(result.error) <= 300
    assert result.note.endswith("xxx\n")
    assert not result.final


def test_a_function_that_exits_does_not_end_the_worker() -> None:
    result = run("exits")
    assert isinstance(result, Failed)
    assert result.error == "SystemExit: 3"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("absent_module:f", "No module named"),
        (f"{HERE}:Absent", "has no attribute 'Absent'"),
        (f"{HERE}:HERE", "not callable"),
        (f"{HERE}:Beats.coroutine", "asyncio.run"),
        ("no_colon", "module:callable"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_failed_and_says_why(target: str, said: str) -> None:
    result = PythonRunner(target).run(request(), Control(60))
    assert isinstance(result, Failed)
    assert said in result.error
    assert target in result.error
    assert "agent=ops" in result.error


def test_a_module_whose_import_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = tmp_path / "beat_mended_later.py"
    module.write_text("raise RuntimeError('half written')")
    runner = PythonRunner("beat_mended_later:beat")
    broken = runner.run(request(), Control(60))
    assert isinstance(broken, Failed)
    assert "half written" in broken.error
    module.write_text("def beat(request): return True")
    assert runner.run(request(), Control(60)) == Ran()


def test_the_working_directory_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise AssertionError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    load("json:dumps")
    load("json:dumps")
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_at_the_time_limit_the_function_is_told_and_has_failed() -> None:
    assert run("cooperative", Control(0.05)) == Failed(error="timeout")


def in_thread(function: str, control: Control) -> tuple[threading.Thread, list[RunResult]]:
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.append(run(function, control)), daemon=True)
    thread.start()
    assert Gates.entered.wait(200)
    return thread, results


@pytest.mark.parametrize("function", ["cooperative", "says_ran", "raises_when_cancelled"])
def test_when_the_lease_is_lost_the_function_is_told_and_has_failed(function: str) -> None:
    control = Control(600)
    thread, results = in_thread(function, control)
    control.lost.set()
    thread.join(200)
    assert results == [Failed(error="lease lost")]


@pytest.mark.parametrize(
    ("function", "result"),
    [
        ("cooperative", Cancelled(reason="stop")),
        ("raises_when_cancelled", Cancelled(reason="stop")),
        ("says_ran", Ran(note="was nearly done")),
    ],
)
def test_at_a_stop_a_function_that_breaks_off_hands_back_and_one_that_finishes_has_run(function: str, result: RunResult) -> None:
    control = Control(600)
    thread, results = in_thread(function, control)
    control.stop.set()
    thread.join(200)
    assert results == [result]


@pytest.mark.parametrize(("reason", "result"), [("lost", Failed(error="lease lost")), ("stop", Ran())])
def test_a_function_that_takes_no_event_is_waited_for(reason: str, result: RunResult) -> None:
    """Its lease and its place stay taken: the call returns when the function does, not before."""
    control = Control(600)
    thread, results = in_thread("stubborn", control)
    (control.lost if reason == "lost" else control.stop).set()
    thread.join(0.1)
    assert thread.is_alive()
    Gates.release.set()
    thread.join(200)
    assert results == [result]


def test_a_heartbeat_that_may_not_run_calls_nothing() -> None:
    control = Control(600)
    control.stop.set()
    assert run("stubborn", control) == Cancelled(reason="stop")
    assert not Gates.entered.is_set()
