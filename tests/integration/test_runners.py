"""The command runner with real commands: what its answer means, what it passes, and that nothing can make it hang."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran
from tests.support.recorder import lives
from tests.support.requests import pid_in, request, wait_gone
from workers.reaper import Reaper
from workers.runners import Cancelled, Control, RunResult
from workers.runners.command import OUTPUT_BYTES, CommandRunner

MEBIBYTE = 1024 * 1024


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    reaper = Reaper(answer_timeout_s=60)
    yield reaper
    reaper.close()


def sh(script: str, reaper: Reaper, *, asked: HeartbeatRequest | None = None, output_bytes: int = OUTPUT_BYTES) -> RunResult:
    return CommandRunner(["sh", "-c", script], reaper=reaper, output_bytes=output_bytes).run(asked or request(), Control(60))


def test_exit_0_is_ran_and_its_output_is_kept(reaper: Reaper) -> None:
    assert sh("echo done; echo aside >&2", reaper) == Ran(note="done")
    assert sh("echo aside >&2", reaper) == Ran(note="aside")


def test_exit_75_is_busy(reaper: Reaper) -> None:
    assert sh("exit 75", reaper) == Busy()


def test_any_other_exit_is_failed_and_says_what_the_command_said_last(reaper: Reaper) -> None:
    assert sh("echo out; echo one >&2; echo two >&2; exit 3", reaper) == Failed(error="exit code 3: two", note="out\none\ntwo")
    assert sh("exit 1", reaper) == Failed(error="exit code 1")


def test_death_by_a_signal_is_failed_and_names_it(reaper: Reaper) -> None:
    assert sh("kill -SEGV $$", reaper) == Failed(error="killed by SIGSEGV")


def test_the_request_is_one_json_object_on_stdin(reaper: Reaper) -> None:
    asked = request(output="grüße\n", trace={"traceparent": "x"})
    result = sh("cat", reaper, asked=asked)
    assert isinstance(result, Ran)
    assert HeartbeatRequest.model_validate_json(result.note) == asked


def test_the_request_is_in_the_environment_too(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over what is configured, and that over the worker's own; a name that no shell can write passes as well."""
    monkeypatch.setenv("TRACEPARENT", "of the worker")
    monkeypatch.setenv("WORKER", "own")
    monkeypatch.setenv("dotted.name", "kept")
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    runner = CommandRunner(show, env={"WORKER": "configured", "WAKE_TOKEN": "0"}, reaper=reaper)
    traced, bare = (runner.run(request(trace=trace), Control(60)) for trace in ({"traceparent": parent}, None))
    assert isinstance(traced, Ran)
    assert isinstance(bare, Ran)
    env = json.loads(traced.note)
    assert {k: v for k, v in env.items() if k.startswith("WAKE_")}.items() >= {
        "WAKE_AGENT_ID": "ops",
        "WAKE_SESSION_KEY": "agent:ops:main",
        "WAKE_BATCH_ID": "b-1",
        "WAKE_ATTEMPT": "1",
        "WAKE_TOKEN": "7",
        "WAKE_TRACE": json.dumps({"traceparent": parent}),
    }.items()
    assert (env["TRACEPARENT"], env["WORKER"], env["dotted.name"]) == (parent, "configured", "kept")
    assert not {"TRACEPARENT", "WAKE_TRACE"} & set(json.loads(bare.note))


def test_a_command_need_not_read_its_input(reaper: Reaper) -> None:
    assert sh("exec <&-; echo fine", reaper, asked=request(output="x" * 5 * MEBIBYTE)) == Ran(note="fine")


def test_much_input_and_much_output_at_once_do_not_block_each_other(reaper: Reaper) -> None:
    asked = request(output="x" * 5 * MEBIBYTE)
    assert sh("cat", reaper, asked=asked, output_bytes=6 * MEBIBYTE) == Ran(note=asked.model_dump_json())


def test_of_ten_mebibytes_of_output_the_end_is_kept(reaper: Reaper) -> None:
    result = sh("head -c 10485760 /dev/zero | tr '\\0' y; echo; echo end; head -c 10485760 /dev/zero >&2", reaper, output_bytes=9)
    assert result == Ran(note="…yyyy\nend")


def test_output_is_cleaned_of_what_a_terminal_would_obey(reaper: Reaper) -> None:
    assert sh(r"printf '\033[31mred\033[0m\007\n'", reaper) == Ran(note="red")


def test_a_process_left_behind_that_holds_the_output_does_not_hold_the_heartbeat(reaper: Reaper, tmp_path: Path) -> None:
    assert sh(f"sleep 900 & echo $! > {tmp_path}/pid; echo done", reaper) == Ran(note="done")
    wait_gone(pid_in(tmp_path / "pid"))


def test_waiting_for_a_process_left_behind_costs_no_processor_time(reaper: Reaper) -> None:
    """The end of the command stays readable for ever; whoever keeps looking at it spins."""
    before_s = time.thread_time()
    assert sh("sleep 900 & exit 0", reaper) == Ran()
    assert time.thread_time() - before_s < 0.3


def test_a_process_left_behind_in_the_background_may_outlive_a_turn_that_ran(reaper: Reaper, tmp_path: Path) -> None:
    """An agent starts a long command and ends its turn. After a turn that failed nothing stays: the batch will run again."""
    script = f"sleep 900 >{tmp_path}/log 2>&1 & echo $! > {tmp_path}/pid; exit "
    sh(script + "0", reaper)
    survivor = pid_in(tmp_path / "pid")
    reaper.close()
    assert lives(survivor)
    os.kill(survivor, signal.SIGKILL)
    (tmp_path / "pid").unlink()
    sh(script + "1", reaper)
    wait_gone(pid_in(tmp_path / "pid"))


@pytest.mark.parametrize(
    ("command", "cwd", "said"),
    [
        (["./absent"], None, "'./absent': No such file"),
        (["absent-program"], None, "not on PATH"),
        (["./plain"], None, "'./plain' is not executable"),
        (["/"], None, "'/' is not a file"),
        (["true"], "/absent", "'/absent' does not exist"),
        (["./headless"], None, "exit code 127"),
        (["true", "a\0b"], None, "null byte"),
    ],
)
def test_a_command_that_cannot_start_is_failed_and_says_why(
    command: list[str], cwd: str | None, said: str, reaper: Reaper, tmp_path: Path
) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "headless").write_text("#!/absent/interpreter\n")
    (tmp_path / "headless").chmod(0o755)
    result = CommandRunner(command, cwd=cwd or str(tmp_path), reaper=reaper).run(request(), Control(60))
    assert isinstance(result, Failed)
    assert said in result.error
    assert not result.final


def test_no_command_starts_where_no_reaper_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/absent/python")
    result = sh(f"touch {tmp_path}/started", Reaper())
    assert isinstance(result, Failed)
    assert "no reaper process answers" in result.error
    assert not (tmp_path / "started").exists()


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A running command looks around once in many minutes; whatever it notices in a test, it was woken for."""
    monkeypatch.setattr("workers.runners.command.CHECK_S", 900.0)


def in_thread(script: str, control: Control, reaper: Reaper, *, kill_grace_s: float = 900) -> tuple[threading.Thread, list[RunResult]]:
    """The grace is longer than any test: what ends sooner did not wait for it."""
    results: list[RunResult] = []
    runner = CommandRunner(["sh", "-c", script], reaper=reaper, kill_grace_s=kill_grace_s)
    thread = threading.Thread(target=lambda: results.append(runner.run(request(), control)), daemon=True)
    thread.start()
    return thread, results


def pass_limit(control: Control) -> None:
    """Lets the time limit be over, once the command is where the test wants it; it is noticed within CHECK_S."""
    control._deadline = 0.0


@pytest.mark.parametrize("has_pidfd", [True, False], ids=["pidfd", "polled"])
def test_at_the_time_limit_the_group_is_killed(has_pidfd: bool, reaper: Reaper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First politely, then not: here both the command and its child ignore the first word."""
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    script = f"trap '' TERM; sleep 900 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; wait"
    control = Control(600)
    thread, results = in_thread(script, control, reaper, kill_grace_s=0.1)
    pids = pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")
    pass_limit(control)
    thread.join(200)
    assert results == [Failed(error="timeout")]
    wait_gone(*pids)


def test_at_the_time_limit_a_command_may_tidy_up(reaper: Reaper, tmp_path: Path) -> None:
    script = f"exec 2>/dev/null; trap 'echo tidy; exit 0' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    control = Control(600)
    thread, results = in_thread(script, control, reaper)
    pid_in(tmp_path / "pid")
    pass_limit(control)
    thread.join(200)
    assert results == [Failed(error="timeout", note="tidy")]


def test_the_time_limit_comes_by_itself(reaper: Reaper) -> None:
    """Whether or not the command has begun by then."""
    result = CommandRunner(["sleep", "900"], reaper=reaper).run(request(), Control(0.5))
    assert result == Failed(error="timeout")


@pytest.mark.usefixtures("only_woken")
def test_a_lost_lease_kills_the_group_at_once(reaper: Reaper, tmp_path: Path) -> None:
    """Without a polite word: another worker may run this agent already."""
    control = Control(600)
    script = f"trap 'touch {tmp_path}/asked' TERM; sleep 900 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; wait; wait"
    thread, results = in_thread(script, control, reaper)
    pids = pid_in(tmp_path / "pid"), pid_in(tmp_path / "child")
    control.lost.set()
    thread.join(200)
    assert results == [Failed(error="lease lost")]
    wait_gone(*pids)
    assert not (tmp_path / "asked").exists()


@pytest.mark.usefixtures("only_woken")
def test_a_stop_ends_the_command_and_hands_the_batch_back(reaper: Reaper, tmp_path: Path) -> None:
    """Even if the command then says 0: whether it did its turn is not known, and a second run of a batch can be recognised."""
    control = Control(600)
    thread, results = in_thread(
        f"exec 2>/dev/null; trap 'exit 0' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done", control, reaper
    )
    pid = pid_in(tmp_path / "pid")
    control.stop.set()
    thread.join(200)
    assert results == [Cancelled(reason="stop")]
    wait_gone(pid)


@pytest.mark.usefixtures("only_woken")
def test_a_lease_lost_in_the_grace_of_a_stop_ends_the_grace(reaper: Reaper, tmp_path: Path) -> None:
    control = Control(600)
    script = f"exec 2>/dev/null; trap 'echo $$ > {tmp_path}/asked' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    thread, results = in_thread(script, control, reaper)
    pid_in(tmp_path / "pid")
    control.stop.set()
    pid = pid_in(tmp_path / "asked")
    control.lost.set()
    thread.join(200)
    assert results == [Failed(error="lease lost")]
    wait_gone(pid)


def test_a_heartbeat_that_may_not_run_starts_nothing(reaper: Reaper, tmp_path: Path) -> None:
    lost, stopped, cancelled = Control(60), Control(60), Control(0)
    lost.lost.set()
    stopped.stop.set()
    cancelled.stop.set()
    cancelled.cancel_for(to_retry=False)
    runner = CommandRunner(["touch", str(tmp_path / "started")], reaper=reaper)
    results = [runner.run(request(), control) for control in (lost, Control(0), stopped, cancelled)]
    assert results == [Failed(error="lease lost"), Failed(error="timeout"), Cancelled(reason="stop"), Cancelled(reason="cancel")]
    assert not (tmp_path / "started").exists()


def test_a_command_and_its_children_inherit_nothing_of_the_worker(reaper: Reaper) -> None:
    """A leaked end of the reaper's socket would hide the worker's death."""
    assert sh("true", reaper) == Ran()
    kinds = (
        "import os; print([os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in sorted(map(int, os.listdir('/proc/self/fd')))[:-1]])"
    )
    assert sh(f'{sys.executable} -c "{kinds}"; true', reaper) == Ran(note="['pipe', 'pipe', 'pipe']")


def test_a_run_leaves_no_descriptor_and_no_zombie(reaper: Reaper) -> None:
    assert sh("true", reaper) == Ran()
    gc.collect()  # or what tests before us left to it may be closed meanwhile
    before = sorted(os.listdir("/proc/self/fd"))
    for script in ("true", "exit 3", "sleep 900 & exit 0"):
        sh(script, reaper)
    assert sorted(os.listdir("/proc/self/fd")) == before
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert [pid for pid in children if not lives(int(pid))] == []
