"""What reaches `wake exec` reaches its command: all of it, once, and nothing that was ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.exec_process import environment, exec_words, python, read_until, start_exec, the_kept
from tests.support.gates import wait_until

# Says ready, then the name of each signal that comes, until half a second passes without one. Its child does the same, on stderr.
LISTENER = """
import os, signal, sys
signals = {getattr(signal, "SIG" + name) for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2")}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
child = os.fork()
out = 1 if child else 2
os.write(out, b"ready\\n")
told = signal.sigwait(signals)
while told:
    os.write(out, f"{signal.Signals(told).name}\\n".encode())
    more = signal.sigtimedwait(signals, 0.5)
    told = more and more.si_signo
if child:
    os.waitpid(child, 0)
    os._exit(7)
os._exit(0)
"""
TERMINAL = "import os, pty, sys; code = os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])); sys.exit(code % 256)"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_reaches_the_whole_group_of_the_command_once_and_leaves_us_alive(tmp_path: Path, name: str) -> None:
    with start_exec(tmp_path, *python(LISTENER)) as process:
        read_until(process.stdout, b"ready\n")
        read_until(process.stderr, b"ready\n")
        process.send_signal(signal.Signals[name])
        stdout, stderr = process.communicate(timeout=200)
    assert (process.returncode, stdout.decode()) == (7, f"{name}\n")
    assert stderr.decode().startswith(f"{name}\nwake: "), "the child of the command"
    assert the_kept(tmp_path)["exit_code"] == 7


def test_a_command_that_does_not_catch_the_signal_dies_of_it_and_so_do_we(tmp_path: Path) -> None:
    with start_exec(tmp_path, "--", "sh", "-c", "echo ready; read line") as process:
        read_until(process.stdout, b"ready\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(200) == -signal.SIGTERM  # stdin stays open: the command has no other reason to end
    assert the_kept(tmp_path)["signal"] == "SIGTERM"


def test_a_signal_that_we_were_told_to_ignore_is_not_forwarded(tmp_path: Path) -> None:
    """As under nohup. The command, which could die of it, gets the next one only."""
    handler = "lambda *_: os.write(1, b'USR1\\n')"  # print might be in the middle of `ready`
    code = f"import os, signal; signal.signal(1, signal.SIG_DFL); signal.signal(10, {handler}); print('ready', flush=True); input()"
    line = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *exec_words(*python(code))]
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        read_until(process.stdout, b"ready\n")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)  # taken after the other, if that is taken at all
        assert read_until(process.stdout, b"\n") == b"USR1\n"
        process.communicate(b"go on\n", timeout=200)
    assert process.returncode == 0


def test_the_command_starts_with_the_signals_that_we_were_given(tmp_path: Path) -> None:
    """Neither our block nor Python's own ignored SIGPIPE is inherited. (32 and 33 are the C library's own.)"""
    command = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    bare = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True)
    ours = subprocess.run(
        exec_words("--", *command), cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=200, check=True
    )
    numbers = [[int(line.split()[1], 16) & ~(0b11 << 31) for line in done.stdout.splitlines()] for done in (bare, ours)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 2


def test_a_signal_after_the_end_of_the_command_hurries_the_report_and_changes_no_exit_code(tmp_path: Path) -> None:
    """The reader does not take the last words, so we cannot end; a first signal must not lose the completion, nor hang."""
    with start_exec(tmp_path, *python("import os; os.write(1, b'x' * 60_000); os.write(1, b'x' * 60_000); os._exit(5)")) as process:
        wait_until(lambda: list((tmp_path / ".wake" / "spool").glob("*.json")), 90, "the completion is kept")
        assert process.poll() is None, "it waits for its reader"
        process.send_signal(signal.SIGTERM)
        assert process.wait(200) == 5


class Terminal:
    """`wake exec` in the foreground of a terminal of its own; what we write is typed, what we read is shown."""

    def __init__(self, folder: Path, *words: str) -> None:
        line = [sys.executable, "-c", TERMINAL, *exec_words(*words)]
        self.process = subprocess.Popen(
            line, cwd=folder, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )

    def type(self, text: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)

    def see(self, expected: bytes) -> bytes:
        return read_until(self.process.stdout, expected)

    def end(self) -> int:
        with self.process:
            self.process.communicate(timeout=200)
        return self.process.returncode


def test_a_command_can_read_from_its_terminal(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--", "sh", "-c", 'echo ready; read line </dev/tty; echo "got $line"; exit 6')
    terminal.see(b"ready\r\n")
    terminal.type(b"words\n")
    terminal.see(b"got words\r\n")
    assert terminal.end() == 6


def test_control_c_reaches_the_command_once(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, *python(LISTENER))
    terminal.see(b"ready\r\nready\r\n")
    terminal.type(b"\x03")
    seen = terminal.see(b"wake: ")
    assert seen.count(b"SIGINT") == 2, "the command and its child, once each"
    assert terminal.end() == 7


def test_a_signal_that_does_not_come_from_the_terminal_is_forwarded_there_too(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--", "sh", "-c", "echo ready $PPID; read line")
    number = int(terminal.see(b"\r\n").split()[1])
    os.kill(number, signal.SIGINT)
    assert terminal.end() == 256 - signal.SIGINT
    assert the_kept(tmp_path)["signal"] == "SIGINT"
