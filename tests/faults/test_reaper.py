"""What stays behind when a worker, its reaper or both die or stand still: nothing. Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gates import wait_until
from tests.support.recorder import lives
from tests.support.requests import PATIENCE_S, pid_in, read, wait_gone
from tests.support.runner_process import RunnerProcess
from workers.leftovers import kill_leftovers
from workers.reaper import Reaper

SLEEP = ["sleep", "900"]


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    reaper = Reaper(answer_timeout_s=60)
    yield reaper
    reaper.close()


class Group:
    """A process in a group of its own, unreaped until the test ends."""

    def __init__(self, *, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(SLEEP, start_new_session=True, env=os.environ | (env or {}))
        self.pgid = self.process.pid


@pytest.fixture
def groups() -> Iterator[type[Group]]:
    made: list[Group] = []

    class Made(Group):
        def __init__(self, *, env: dict[str, str] | None = None) -> None:
            super().__init__(env=env)
            made.append(self)

    yield Made
    for group in made:
        group.process.kill()
        group.process.wait()


def family(folder: Path) -> list[str]:
    """A command with a child in the background that holds no pipe, and one that lives as long as it."""
    return ["sh", "-c", f"sleep 900 >/dev/null 2>&1 & echo $! > {folder}/child; echo $$ > {folder}/pid; sleep 900; true"]


def test_a_worker_killed_in_mid_heartbeat_takes_the_command_and_its_children_along(tmp_path: Path) -> None:
    with RunnerProcess() as worker:
        worker.start(*family(tmp_path))
        worker.hear("spawned")
        reaper = worker.hear("watched")
        pids = pid_in(tmp_path / "child"), pid_in(tmp_path / "pid")
        assert all(map(lives, pids))
        worker.kill()
        wait_gone(*pids, reaper)


def test_a_child_forked_by_the_worker_does_not_hide_its_death(tmp_path: Path) -> None:
    """It inherits every descriptor; the reaper's socket is closed in it, so that the end of the worker is still seen."""
    with RunnerProcess(fork=True) as worker:
        worker.start(*family(tmp_path))
        for word in ("spawned", "watched"):
            worker.hear(word)
        forked = worker.hear("forked")
        pids = pid_in(tmp_path / "child"), pid_in(tmp_path / "pid")
        try:
            worker.kill()
            wait_gone(*pids)
            assert lives(forked)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_a_worker_that_stands_still_beyond_its_lease_loses_the_command(tmp_path: Path) -> None:
    """And when it goes on, its answer is no success."""
    with RunnerProcess(trust_ms=3_000) as worker:
        worker.start(*family(tmp_path))
        worker.hear("spawned")
        worker.hear("watched")
        pids = pid_in(tmp_path / "child"), pid_in(tmp_path / "pid")
        os.kill(worker.pid, signal.SIGSTOP)
        wait_gone(*pids)
        os.kill(worker.pid, signal.SIGCONT)
        assert "lease lost" in worker.hear("result")


def test_a_worker_killed_between_spawn_and_registration_starts_nothing(tmp_path: Path) -> None:
    with RunnerProcess(stall=True) as worker:
        worker.start("touch", str(tmp_path / "started"))
        waiting = worker.hear("spawned")
        assert lives(waiting)
        worker.kill()
        wait_gone(waiting)
    assert not (tmp_path / "started").exists()


def test_a_worker_killed_before_the_reaper_has_answered_starts_nothing(tmp_path: Path) -> None:
    """The registration lies in the socket, unread. Only the answer opens the gate."""
    with RunnerProcess() as worker:
        worker.start("true")
        worker.hear("spawned")
        reaper = worker.hear("watched")
        worker.hear("result")
        os.kill(reaper, signal.SIGSTOP)
        worker.start("touch", str(tmp_path / "started"))
        waiting = worker.hear("spawned")
        worker.kill()
        wait_gone(waiting)
        os.kill(reaper, signal.SIGCONT)
        wait_gone(reaper)
    assert not (tmp_path / "started").exists()


@pytest.mark.slow
def test_trust_that_was_renewed_outlives_the_first_bound(reaper: Reaper, groups: type[Group]) -> None:
    renewed, forgotten, expiring = groups(), groups(), groups()
    reaper.watch(renewed.pgid, 10_000)
    reaper.watch(forgotten.pgid, 10_000)
    reaper.renew(renewed.pgid, 600_000)
    reaper.forget(forgotten.pgid)
    reaper.watch(expiring.pgid, 10_500)
    wait_gone(expiring.pgid)  # so the first bound has passed
    assert lives(renewed.pgid)
    assert lives(forgotten.pgid)


def test_a_renewal_revives_no_group_that_is_not_watched(reaper: Reaper, groups: type[Group]) -> None:
    watched, stranger = groups(), groups()
    reaper.watch(watched.pgid, None)
    reaper.renew(stranger.pgid, 0)
    reaper.close()
    wait_gone(watched.pgid)
    assert lives(stranger.pgid)


def test_trust_that_is_already_gone_kills_at_once(reaper: Reaper, groups: type[Group]) -> None:
    late = groups()
    reaper.watch(late.pgid, -1)
    wait_gone(late.pgid)


def test_the_reaper_ignores_what_is_meant_for_the_worker(reaper: Reaper, groups: type[Group]) -> None:
    """A service manager signals every process of the service; a terminal its whole group, of which the reaper is none."""
    first, second = groups(), groups()
    reaper.watch(first.pgid, None)
    pid = reaper.pid
    assert pid
    assert os.getsid(pid) == pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(pid, number)
    reaper.watch(second.pgid, None)
    assert reaper.pid == pid
    assert lives(first.pgid)


def test_a_killed_reaper_is_replaced_and_told_what_lives(reaper: Reaper, groups: type[Group]) -> None:
    """With the bounds as they were: what had one keeps it, and the end of the worker still kills all."""
    bounded, unbounded, forgotten = groups(), groups(), groups()
    reaper.watch(bounded.pgid, 600_000)
    reaper.watch(unbounded.pgid, None)
    reaper.watch(forgotten.pgid, None)
    killed = reaper.pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    reaper.forget(forgotten.pgid)
    reaper.check()
    assert reaper.pid not in (killed, None)
    assert lives(bounded.pgid)
    reaper.renew(bounded.pgid, 1)
    wait_gone(bounded.pgid)
    assert lives(unbounded.pgid)
    reaper.close()
    wait_gone(unbounded.pgid)
    assert lives(forgotten.pgid)


def test_a_killed_reaper_is_noticed_while_a_command_runs(tmp_path: Path) -> None:
    """By the worker itself, without a renewal: then the worker's death is seen again."""
    with RunnerProcess() as worker:
        worker.start(*family(tmp_path))
        worker.hear("spawned")
        killed = worker.hear("watched")
        pids = pid_in(tmp_path / "child"), pid_in(tmp_path / "pid")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: _reapers_of(worker.pid) - {killed}, PATIENCE_S, "a new reaper")
        assert all(map(lives, pids))
        worker.kill()
        wait_gone(*pids)


def _reapers_of(pid: int) -> set[int]:
    children = {int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in read(task).split()}
    return {child for child in children if lives(child) and b"reaper_process.py" in read(Path(f"/proc/{child}/cmdline"))}


def test_a_frozen_reaper_is_replaced_without_a_harm_to_what_it_watched(groups: type[Group]) -> None:
    """It must die before it sees the end of its input, which it would take for the worker's death."""
    reaper = Reaper(answer_timeout_s=60)
    first, second = groups(), groups()
    reaper.watch(first.pgid, None)
    frozen = reaper.pid
    assert frozen
    assert reaper._link
    reaper._link._socket.settimeout(1)  # of this one only: a slow machine may take its time with the next
    os.kill(frozen, signal.SIGSTOP)
    reaper.watch(second.pgid, None)
    assert reaper.pid != frozen
    assert not lives(frozen)
    assert lives(first.pgid)
    reaper.close()
    wait_gone(first.pgid, second.pgid)


def test_the_reaper_is_small_and_holds_nothing_open(reaper: Reaper, groups: type[Group]) -> None:
    """Its standard input is the socket; an interpreter without packages needs about 9 MiB, this one's packages several times that."""
    reaper.watch(groups().pgid, None)
    status = Path(f"/proc/{reaper.pid}/status").read_text()
    resident_kib = int(status.split("VmRSS:")[1].split()[0])
    assert resident_kib < 16 * 1024
    assert sorted(os.listdir(f"/proc/{reaper.pid}/fd")) == ["0", "1", "2"]
    assert os.readlink(f"/proc/{reaper.pid}/cwd") == "/"


def test_leftovers_of_a_worker_and_a_reaper_that_were_both_killed_are_found(tmp_path: Path) -> None:
    """Nothing could kill the command then; the next attempt on this host does, a child in a session of its own included."""
    script = f"setsid sleep 900 >/dev/null 2>&1 & echo $$ > {tmp_path}/pid; echo $! > {tmp_path}/child; sleep 900; true"
    with RunnerProcess() as worker:
        worker.start("sh", "-c", script, batch_id="b-left")
        worker.hear("spawned")
        reaper = worker.hear("watched")
        pids = pid_in(tmp_path / "child"), pid_in(tmp_path / "pid")
        os.kill(worker.pid, signal.SIGSTOP)  # so that it does not replace the reaper
        os.kill(reaper, signal.SIGKILL)
        worker.kill()
        wait_gone(reaper)
        assert all(map(lives, pids))
        assert kill_leftovers("b-left") >= 3
        assert not any(map(lives, pids))
    assert kill_leftovers("b-left") == 0


def test_leftovers_of_another_batch_and_of_this_attempt_are_spared(groups: type[Group]) -> None:
    old, new = ({"WAKE_BATCH_ID": "b-mine", "WAKE_TOKEN": token} for token in ("1", "2"))
    mine, current, other = groups(env=old), groups(env=new), groups(env={"WAKE_BATCH_ID": "b-mine-not"})
    assert kill_leftovers("b-mine", token=2) == 1
    assert [lives(group.pgid) for group in (mine, current, other)] == [False, True, True]
