"""What becomes of the completion of a `wake exec`: in the inbox once, or kept on disk until it is; never silently gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from dispatcher.config import Config
from dispatcher.core.identity import derive_completion_id
from dispatcher.store.opened import open_store
from tests.support.exec_process import KEY, environment, exec_words, kept, run_exec, start_exec, the_kept
from tests.support.gates import wait_until
from tests.support.server import Server

pytestmark = pytest.mark.usefixtures("redis_client")


def accepted(server: Server) -> list[dict[str, Any]]:
    """Everything that the inbox accepted and nobody claimed yet, oldest first."""
    store = open_store(Config(), server.url)
    store.inbox.prepare()
    found = [json.loads(entry.body) for entry in store.inbox.claim("test", 1000).entries]
    store.close()
    return found


def ids(completions: list[dict[str, Any]]) -> list[str]:
    return [completion["completion_id"] for completion in completions]


def test_a_reachable_server_gets_the_completion_and_nothing_is_written_or_said(tmp_path: Path, server: Server) -> None:
    done = run_exec(tmp_path, "--id", "c-1", "--", "sh", "-c", "echo out; exit 3", url=server.url)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"")
    [completion] = accepted(server)
    assert (completion["completion_id"], completion["session_key"]) == ("c-1", KEY)
    assert (completion["exit_code"], completion["output"], completion["command"]) == (3, "out\n", "sh -c 'echo out; exit 3'")
    assert os.listdir(tmp_path) == []


def test_a_missing_server_costs_the_command_nothing_and_the_next_exec_delivers(tmp_path: Path, server: Server) -> None:
    done = run_exec(tmp_path, "--id", "early", "--", "sh", "-c", "exit 3")
    [path] = (tmp_path / ".wake" / "spool").iterdir()
    expected = f"wake: server unreachable; completion early kept in {path}, the next 'wake exec' or 'wake spool flush' delivers it ("
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.decode().startswith(expected)
    assert done.stderr.count(b"\n") == 1
    early = the_kept(tmp_path)

    done = run_exec(tmp_path, "--id", "late", "--", "true", url=server.url)
    assert (done.returncode, done.stderr) == (0, b"wake: 1 kept completion(s) delivered, 0 left\n")
    late, then = accepted(server)
    assert (late["completion_id"], then["completion_id"]) == ("late", "early")
    assert (then["exit_code"], then["command"], then["host"]) == (3, early["command"], early["host"])
    assert kept(tmp_path) == []


def test_a_completion_that_was_accepted_before_its_reply_was_lost_is_not_accepted_again(tmp_path: Path, server: Server) -> None:
    """The spool carries the id and the words of the first try, so the second is a duplicate."""
    run_exec(tmp_path, "--id", "c", "--", "true")
    again = next((tmp_path / ".wake" / "spool").iterdir()).read_bytes()
    run_exec(tmp_path, "--id", "first-flush", "--", "true", url=server.url)
    (tmp_path / ".wake" / "spool" / "00000000000000000001-again.json").write_bytes(again)
    done = run_exec(tmp_path, "--id", "second-flush", "--", "true", url=server.url)
    assert b"1 kept completion(s) delivered" in done.stderr
    assert ids(accepted(server)) == ["first-flush", "c", "second-flush"]


def test_the_same_id_for_another_run_of_the_command_is_refused_and_set_aside(tmp_path: Path, server: Server) -> None:
    words = ["--json", "--run-id", "r", "--step-id", "s", "--", "sh", "-c", "exit 2"]
    first, second = (run_exec(tmp_path, *words, url=server.url) for _ in range(2))
    assert [first.returncode, second.returncode] == [2, 2]
    told = [json.loads(done.stdout) for done in (first, second)]
    assert [one["status"] for one in told] == ["accepted", "refused"]
    assert told[0]["completion_id"] == told[1]["completion_id"] == derive_completion_id(KEY, "r", "s")
    assert f"completion {told[1]['completion_id']} refused: ".encode() in second.stderr
    assert Path(told[1]["path"]).parent == tmp_path / ".wake" / "spool" / "bad"
    assert len(accepted(server)) == 1


def test_a_completion_that_can_never_be_used_is_set_aside_with_the_reason(tmp_path: Path, server: Server) -> None:
    done = run_exec(tmp_path, "--", "sh", "-c", "exit 5", key="agent:ops:\x07bell", url=server.url)
    assert done.returncode == 5
    assert b"control characters are not allowed" in done.stderr
    [reason] = (tmp_path / ".wake" / "spool" / "bad").glob("*.reason")
    assert "control characters are not allowed" in reason.read_text()
    assert json.loads(reason.with_suffix(".json").read_bytes())["exit_code"] == 5
    assert accepted(server) == []


def test_a_full_inbox_is_met_with_the_spool(tmp_path: Path, server: Server) -> None:
    env = environment(server.url, WAKE_BOUNDS_MAX_INBOX="1")
    runs = [
        subprocess.run(exec_words("--id", name, "--", "true"), cwd=tmp_path, env=env, capture_output=True, timeout=200, check=True)
        for name in ("fits", "waits")
    ]
    assert runs[0].stderr == b""
    assert runs[1].stderr.startswith(b"wake: inbox full; completion waits kept in ")
    assert ids(kept(tmp_path)) == ["waits"]
    assert ids(accepted(server)) == ["fits"]


@pytest.mark.parametrize("fault", ["\n[defaults]\nwindow_ms = 'soon'\n", "\n[nonsense\n"])
def test_an_unusable_configuration_is_met_with_the_spool_until_it_is_mended(tmp_path: Path, server: Server, fault: str) -> None:
    sound = '[redis]\ndata_dir = "elsewhere"\n' if "defaults" in fault else ""
    folder = tmp_path / ("elsewhere" if sound else ".wake") / "spool"
    (tmp_path / "my.toml").write_text(sound + fault)
    (tmp_path / "sub").mkdir()
    words = ["--config", "../my.toml", "--id", "c", "--", "sh", "-c", "exit 4"]
    done = run_exec(tmp_path / "sub", *words, url=server.url)
    assert done.returncode == 4
    assert done.stderr.startswith(b"wake: configuration not usable; completion c kept in ")
    assert len(list(folder.glob("*.json"))) == 1

    (tmp_path / "my.toml").write_text(sound)
    done = run_exec(tmp_path / "sub", "--config", "../my.toml", "--id", "d", "--", "true", url=server.url)
    assert ids(accepted(server)) == ["d", "c"], done.stderr
    assert list(folder.glob("*.json")) == []


def deliver_the_rest(folder: Path, server: Server) -> None:
    """Waiting and flushing are bounded in time, so that a machine under load may leave files; a later exec delivers them."""

    def delivered() -> bool:
        if kept(folder):
            run_exec(folder, "--id", f"rest-{time.time_ns()}", "--", "true", url=server.url)
        return not kept(folder)

    wait_until(delivered, 200, "the spool is empty")


@pytest.mark.slow
def test_twenty_at_once_with_a_server(tmp_path: Path, server: Server) -> None:
    processes = [start_exec(tmp_path, "--id", f"c-{n}", "--", "sh", "-c", f"echo {n}; exit {n}", url=server.url) for n in range(20)]
    ends = [(process.communicate(timeout=200)[0], process.returncode) for process in processes]
    assert ends == [(b"%d\n" % n, n) for n in range(20)]
    deliver_the_rest(tmp_path, server)
    found = [name for name in ids(accepted(server)) if not name.startswith("rest")]
    assert sorted(found) == sorted(f"c-{n}" for n in range(20)), "each once"


@pytest.mark.slow
def test_twenty_at_once_without_one_and_five_at_once_that_deliver_them(tmp_path: Path, server: Server) -> None:
    processes = [start_exec(tmp_path, "--id", f"c-{n}", "--", "sh", "-c", f"exit {n}") for n in range(20)]
    assert [(process.communicate(timeout=200), process.returncode)[1] for process in processes] == list(range(20))
    assert sorted(ids(kept(tmp_path))) == sorted(f"c-{n}" for n in range(20))

    processes = [start_exec(tmp_path, "--id", f"d-{n}", "--", "true", url=server.url) for n in range(5)]
    for process in processes:
        process.communicate(timeout=200)
    deliver_the_rest(tmp_path, server)
    found = [name for name in ids(accepted(server)) if not name.startswith("rest")]
    assert sorted(found) == sorted([f"c-{n}" for n in range(20)] + [f"d-{n}" for n in range(5)]), "each once"


def test_killed_after_the_spool_was_written_nothing_is_lost_and_nothing_doubled(tmp_path: Path, server: Server) -> None:
    """The frozen server may or may not have taken the first try; either way the next exec makes it exactly one."""
    server.freeze()
    env = environment(server.url, WAKE_REDIS_SOCKET_TIMEOUT_MS="200")
    with subprocess.Popen(exec_words("--id", "killed", "--", "true"), cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: kept(tmp_path), 60, "the completion is kept")
        process.kill()
    server.thaw()
    run_exec(tmp_path, "--id", "next", "--", "true", url=server.url)
    assert sorted(ids(accepted(server))) == ["killed", "next"]
    assert kept(tmp_path) == []


def test_a_signal_while_the_server_is_silent_ends_the_wait_and_keeps_the_completion(tmp_path: Path, server: Server) -> None:
    server.freeze()
    env = environment(server.url, WAKE_REDIS_SOCKET_TIMEOUT_MS="60000")
    line = exec_words("--id", "c", "--", "sh", "-c", 'trap "" TERM; touch ended; exit 4')
    with subprocess.Popen(line, cwd=tmp_path, env=env, stderr=subprocess.PIPE) as process:
        wait_until((tmp_path / "ended").exists, 60, "the command ends")

        def ended_by_signals() -> bool:
            process.send_signal(signal.SIGTERM)
            return process.poll() is not None

        wait_until(ended_by_signals, 60, "wake exec ends", every_s=0.2)
        assert process.stderr is not None
        stderr = process.stderr.read()
    server.thaw()
    assert process.returncode == 4
    assert stderr.startswith(b"wake: interrupted; completion c kept in "), stderr
    assert ids(kept(tmp_path)) == ["c"]


def test_a_junk_file_in_the_spool_is_set_aside_and_said(tmp_path: Path, server: Server) -> None:
    run_exec(tmp_path, "--id", "good", "--", "true")
    (tmp_path / ".wake" / "spool" / "0-junk.json").write_text("{")
    done = run_exec(tmp_path, "--id", "next", "--", "true", url=server.url)
    assert b"1 kept completion(s) delivered" in done.stderr
    assert b"1 kept completion(s) cannot be delivered" in done.stderr
    assert ids(accepted(server)) == ["next", "good"]
    assert (tmp_path / ".wake" / "spool" / "bad" / "0-junk.json").exists()


def test_a_spool_that_cannot_be_written_is_said_clearly_and_the_exit_code_stays(tmp_path: Path) -> None:
    (tmp_path / ".wake").write_text("a file where the folder should be")
    done = run_exec(tmp_path, "--id", "c;1", "--agent", "ops", "--", "sh", "-c", "echo out; exit 6")
    assert (done.returncode, done.stdout) == (6, b"out\n")
    stderr = done.stderr.decode()
    assert "server unreachable, and completion c;1 cannot be kept (" in stderr
    assert f"LOST unless you run: wake submit --session-key {KEY} --id 'c;1' --agent ops --exit-code 6\n" in stderr


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_full_disk_is_said_clearly_and_leaves_no_half_file(tmp_path: Path, blocks: int) -> None:
    """No file may grow, or none beyond its first block: the same as a full disk, but with EFBIG."""
    command = ["sh", "-c", "printf %04000d 7; exit 6"]
    line = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *exec_words("--id", "c", "--", *command)]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (6, b"0" * 3999 + b"7")
    assert b"completion c cannot be kept ([Errno 27] File too large" in done.stderr
    assert b"LOST unless you run: wake submit" in done.stderr
    assert list((tmp_path / ".wake" / "spool").iterdir()) == []


def test_json_is_one_document_and_the_words_of_the_command_go_to_stderr(tmp_path: Path) -> None:
    done = run_exec(tmp_path, "--json", "--id", "c", "--", "sh", "-c", "echo out; echo err >&2; kill -TERM $$")
    assert done.returncode == -signal.SIGTERM
    told = json.loads(done.stdout)
    [path] = (tmp_path / ".wake" / "spool").iterdir()
    assert told.pop("error")
    assert told == {"completion_id": "c", "exit_code": None, "signal": "SIGTERM", "status": "kept", "path": str(path)}
    assert done.stderr.startswith(b"out\nerr\nwake: server unreachable; ")
