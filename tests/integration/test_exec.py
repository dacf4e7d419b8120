"""`wake exec` is as good as the command itself: its streams, its exit code, its speed. There is no server here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.exec_process import KEY, WAKE, environment, exec_words, python, read_until, run_exec, start_exec, the_kept
from tests.support.gates import wait_until
from tests.support.requests import pid_in

HEAVY = ("celery", "kombu", "redis", "pydantic", "typer", "rich", "uuid_utils")
# Writes, in order: what was loaded at the start of the first child, and each heavy module when its import begins.
WATCHER = f"""
import os, sys
def watch(event, arguments):
    if event == "os.posix_spawn":
        line = "spawn " + " ".join(m for m in {HEAVY!r} if m in sys.modules)
    elif event == "import" and arguments[0] in {HEAVY!r}:
        line = "import " + arguments[0]
    else:
        return
    with open(os.environ["WATCHED"], "a") as file:
        print(line.strip(), file=file)
sys.addaudithook(watch)
"""


def test_the_command_starts_before_anything_slow_is_imported(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCHER)
    env = environment(WATCHED=str(tmp_path / "watched"))
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    subprocess.run(exec_words("--", "true"), cwd=tmp_path, env=env, capture_output=True, timeout=200, check=True)
    first, *later = (tmp_path / "watched").read_text().splitlines()
    assert first == "spawn", "something heavy was loaded, or its import begun, before the command started"
    assert "import pydantic" in later, "the watcher sees imports"


def test_both_streams_come_through_byte_by_byte(tmp_path: Path) -> None:
    every_byte = bytes(range(256)) * 4096
    (tmp_path / "blob").write_bytes(every_byte)
    done = run_exec(tmp_path, "--", "sh", "-c", "cat blob; cat blob >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, every_byte)
    assert done.stderr.startswith(every_byte)
    output = the_kept(tmp_path)["output"]
    assert 0 < len(output.encode()) <= 65_536
    assert "\ufffd" in output


def test_stdin_is_the_commands_own(tmp_path: Path) -> None:
    done = run_exec(tmp_path, "--", "cat", stdin=b"\x00in\xff" * 50_000)
    assert done.stdout == b"\x00in\xff" * 50_000


def test_a_word_comes_through_while_the_command_still_runs(tmp_path: Path) -> None:
    with start_exec(tmp_path, *python("print('no newline', end='', flush=True); input()")) as process:
        assert read_until(process.stdout, b"no newline")
        assert process.poll() is None
        process.communicate(b"\n", timeout=200)
    assert process.returncode == 0


def test_two_streams_in_one_place_keep_their_order(tmp_path: Path) -> None:
    code = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    line = exec_words(*python(code))
    done = subprocess.run(line, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, check=False)
    assert done.stdout.splitlines()[:2000] == [b"%d" % n for n in range(2000)]
    assert the_kept(tmp_path)["output"] == "".join(f"{n}\n" for n in range(2000))


def test_of_a_long_output_the_end_is_kept_on_a_character_boundary(tmp_path: Path) -> None:
    done = run_exec(tmp_path, *python("import os\nfor n in range(3): os.write(1, ('ü€😀' * 20_000).encode()); os.write(2, b'!')"))
    assert done.stdout.decode() == "ü€😀" * 60_000
    output = the_kept(tmp_path)["output"]
    assert 65_530 < len(output.encode()) <= 65_536
    assert "\ufffd" not in output
    assert output.rstrip("!").endswith("ü€😀")


@pytest.mark.parametrize("code", [0, 1, 75, 125, 255])
def test_the_exit_code_is_the_commands(tmp_path: Path, code: int) -> None:
    assert run_exec(tmp_path, "--", "sh", "-c", f"exit {code}").returncode == code
    assert the_kept(tmp_path)["exit_code"] == code


@pytest.mark.parametrize(("name", "returncode"), [("TERM", -15), ("INT", -2), ("KILL", -9), ("USR1", -10), ("SEGV", 139), ("QUIT", 131)])
def test_a_command_that_dies_of_a_signal_takes_us_along(tmp_path: Path, name: str, returncode: int) -> None:
    """Of the same signal, or, where that would leave a core file of ours, with the shell's 128+N."""
    done = run_exec(tmp_path, "--", "sh", "-c", f"echo last words; kill -{name} $$")
    assert (done.returncode, done.stdout) == (returncode, b"last words\n")
    completion = the_kept(tmp_path)
    assert completion["signal"] == f"SIG{name}"
    assert "exit_code" not in completion
    assert not list(tmp_path.glob("core*"))


def test_a_real_time_signal_has_a_name_too(tmp_path: Path) -> None:
    number = signal.SIGRTMIN + 3
    assert run_exec(tmp_path, *python(f"import os; os.kill(os.getpid(), {int(number)})")).returncode == 128 + number
    assert the_kept(tmp_path)["signal"] == f"SIG{int(number)}"


@pytest.mark.parametrize(("command", "code", "why"), [("no-such-command", 127, "command not found"), ("./plain", 126, "Permission denied")])
def test_a_command_that_cannot_start_is_reported_as_a_shell_would(tmp_path: Path, command: str, code: int, why: str) -> None:
    (tmp_path / "plain").write_text("not executable")
    done = run_exec(tmp_path, "--", command, "argument")
    assert (done.returncode, done.stdout) == (code, b"")
    assert f"wake: exec: {command}: {why}\n" in done.stderr.decode()
    completion = the_kept(tmp_path)
    assert (completion["exit_code"], completion["output"]) == (code, f"wake exec: {command}: {why}\n")


def test_the_completion_says_what_ran_where_and_when(tmp_path: Path) -> None:
    run_exec(tmp_path, "--agent", "ops", "--run-id=r 1", "--", "sh", "-c", "echo 'a  b'")
    completion = the_kept(tmp_path)
    times = [datetime.fromisoformat(completion.pop(name)) for name in ("started_at", "finished_at")]
    assert times == sorted(times)
    assert all(time.tzinfo for time in times)
    assert completion.pop("completion_id")[14] == "7", "a UUIDv7"
    assert completion == {
        "session_key": KEY,
        "agent_id": "ops",
        "run_id": "r 1",
        "command": """sh -c 'echo '"'"'a  b'"'"''""",
        "exit_code": 0,
        "output": "a  b\n",
        "host": os.uname().nodename,
    }


def test_a_very_long_command_line_is_cut_and_foreign_bytes_in_it_do_no_harm(tmp_path: Path) -> None:
    line = [os.fsencode(word) for word in exec_words("--", "echo", "x" * 10_000)] + [b"\xff\xfe"]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, timeout=200, check=True)
    assert done.stdout == b"x" * 10_000 + b" \xff\xfe\n"
    command = the_kept(tmp_path)["command"]
    assert (len(command), command[-1]) == (4096, "…")


def test_a_reader_that_leaves_ends_the_command_as_a_pipe_would(tmp_path: Path) -> None:
    with start_exec(tmp_path, "--", "yes") as process:
        read_until(process.stdout, b"y\ny\n")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(200) == -signal.SIGPIPE
    assert the_kept(tmp_path)["signal"] == "SIGPIPE"


def test_output_that_cannot_be_written_ends_the_command_and_is_said(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full, start_exec(tmp_path, "--", "yes", stdout=full) as process:
        _, stderr = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGPIPE
    assert b"the command's output cannot be written" in stderr


def test_a_closed_stdout_does_no_harm(tmp_path: Path) -> None:
    line = ["sh", "-c", '"$@" >&- <&-', "sh", *exec_words("--", "sh", "-c", "echo out; echo err >&2; exit 9")]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (9, b"")
    assert done.stderr.startswith(b"err\n")


def test_a_background_process_does_not_hold_us_up_and_lives_on(tmp_path: Path) -> None:
    """It holds our pipes open. Its later words do not kill it, and the reader of our stdout sees the end at the command's end."""
    os.mkfifo(tmp_path / "gate")
    done = run_exec(tmp_path, "--", "sh", "-c", "(cat gate; echo $? > ended) & echo hi; exit 4")
    assert (done.returncode, done.stdout) == (4, b"hi\n")
    assert the_kept(tmp_path)["output"] == "hi\n"
    (tmp_path / "gate").write_bytes(b"late\n" * 50_000)
    wait_until((tmp_path / "ended").exists, 90, "the background process ended")
    wait_until((tmp_path / "ended").read_text, 90, "it wrote how")
    assert (tmp_path / "ended").read_text() == "0\n", "it was killed by its own output"


def test_what_a_background_process_says_later_still_reaches_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    with open(tmp_path / "log", "ab") as log, start_exec(tmp_path, "--", "sh", "-c", "cat gate & echo hi", stdout=log) as process:
        process.communicate(timeout=200)
    assert (tmp_path / "log").read_bytes() == b"hi\n"
    (tmp_path / "gate").write_bytes(b"late\n")
    wait_until(lambda: (tmp_path / "log").read_bytes() == b"hi\nlate\n", 90, "the late word is in the file")


def test_a_background_process_that_never_stops_writing_does_not_hold_us_up(tmp_path: Path) -> None:
    code = "import os; os.fork() or os.execvp('sh', ['sh', '-c', 'echo $$ > pid; exec yes']); os.write(1, b'hi\\n')"
    done = run_exec(tmp_path, *python(code))
    os.kill(pid_in(tmp_path / "pid"), signal.SIGKILL)
    assert done.returncode == 0
    assert b"hi\n" in done.stdout


def test_without_output_the_command_has_our_own_streams(tmp_path: Path) -> None:
    words = ["--no-output", "--", "readlink", "/proc/self/fd/1"]
    with open(tmp_path / "log", "wb") as log, start_exec(tmp_path, *words, stdout=log) as process:
        process.communicate(timeout=200)
    assert (tmp_path / "log").read_text() == f"{tmp_path / 'log'}\n"
    assert the_kept(tmp_path)["output"] == ""


def test_help_shows_an_example_and_loads_no_command_line_library(tmp_path: Path) -> None:
    script = "import sys\nfrom dispatcher.cli import main\ntry: main()\nfinally: print('typer' in sys.modules)"
    line = [sys.executable, "-c", script, "exec", "--help"]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=200, check=True)
    assert "wake exec --session-key agent:ops:main -- make test" in done.stdout
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--", "touch", "started"], "--session-key is missing"),
        (["--session-key", KEY], "there is no command"),
        (["--session-key", KEY, "--"], "there is no command"),
        (["--session-key"], "--session-key needs a value"),
        (["--session-key", KEY, "--id", "--", "touch", "started"], "--id needs a value"),
        (["--session-key", KEY, "--nonsense", "touch", "started"], "no such option: --nonsense"),
    ],
)
def test_a_wrong_command_line_starts_nothing(tmp_path: Path, words: list[str], complaint: str) -> None:
    done = subprocess.run(
        [*WAKE, "exec", *words], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert os.listdir(tmp_path) == []


def test_the_options_end_where_the_command_begins(tmp_path: Path) -> None:
    done = run_exec(tmp_path, "echo", "--help", "--", "--json")
    assert done.stdout == b"--help -- --json\n"
