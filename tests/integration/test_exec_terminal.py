"""In a terminal, `wake exec` is the command: the command sees a terminal, and the terminal behaves as if nobody were in between."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import termios
from pathlib import Path

import pytest

from tests.support.exec_process import environment, exec_words, kept, python, the_kept
from tests.support.gates import wait_until
from tests.support.requests import wait_gone
from tests.support.terminal import Screen

TTYS = "import os; print([os.isatty(n) for n in (0, 1, 2)], os.ttyname(1) == os.ttyname(0), os.get_terminal_size())"
KEY_BY_KEY = """
import os, sys, termios, tty
found = termios.tcgetattr(1)
tty.setraw(1)  # as ncurses does: by the descriptor that it writes to
os.write(1, b"keys\\r\\n")
for n in range(3):
    os.write(1, b"<%d>" % os.read(0, 1)[0])
termios.tcsetattr(1, termios.TCSADRAIN, found)
"""
SIZES = """
import os, signal
told, ready = [], os.write(1, b"")
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"now %d x %d\\n" % tuple(os.get_terminal_size(1))))
print("ready", flush=True)
input()
"""


def screen(folder: Path, *words: str, shell: str | None = None) -> Screen:
    """`wake exec` with these words in a terminal, or a shell line in which @ stands for it."""
    line = exec_words(*words) if shell is None else ["bash", "--norc", "-c", shell.replace("@", shlex.join(exec_words()))]
    return Screen(folder, line, environment(), rows=33, columns=111)


def test_the_command_sees_a_terminal_of_our_size_and_its_words_are_kept(tmp_path: Path) -> None:
    with screen(tmp_path, *python(TTYS + "; raise SystemExit(5)")) as shown:
        shown.see(b"[True, True, True] True os.terminal_size(columns=111, lines=33)\r\n")
        assert shown.end() == 5
    assert "[True, True, True]" in the_kept(tmp_path)["output"]
    assert the_kept(tmp_path)["exit_code"] == 5


def test_a_program_that_takes_key_by_key_gets_each_at_once_and_none_is_echoed(tmp_path: Path) -> None:
    with screen(tmp_path, *python(KEY_BY_KEY)) as shown:
        shown.see(b"keys\r\n")
        shown.type(b"a")
        assert shown.see(b"<97>") == b"<97>", "without a line end, without an echo"
        shown.type(b"\x03")
        assert shown.see(b"<3>") == b"<3>", "Ctrl-C is a key here"
        shown.type(b"\r")
        assert shown.see(b"<13>") == b"<13>"
        assert shown.end() == 0


def test_lines_are_edited_and_echoed_once_and_the_terminal_is_given_back(tmp_path: Path) -> None:
    with screen(tmp_path, shell="@ -- sh -c 'echo ready; read a; echo \"got $a\"'; echo after; read b") as shown:
        shown.see(b"ready\r\n")
        assert not shown.local_modes() & termios.ICANON, "our terminal passes on every key"
        shown.type(b"worts\x7f\x7fds\r")
        assert shown.see(b"got words\r\n").count(b"wor") == 2, "one echo, one answer"
        shown.see(b"after\r\n")
        assert shown.local_modes() == shown.modes_before


def test_end_of_file_is_typed_as_ever(tmp_path: Path) -> None:
    with screen(tmp_path, "--", "sh", "-c", "echo ready; cat; echo end") as shown:
        shown.see(b"ready\r\n")
        shown.type(b"word\r\x04")
        shown.see(b"end\r\n")
        assert shown.end() == 0


def test_control_c_ends_the_command_by_the_signal(tmp_path: Path) -> None:
    with screen(tmp_path, "--", "sh", "-c", "echo ready; read line") as shown:
        shown.see(b"ready\r\n")
        shown.type(b"\x03")
        assert shown.end() == -signal.SIGINT
    assert the_kept(tmp_path)["signal"] == "SIGINT"


def test_control_z_stops_the_job_and_fg_goes_on(tmp_path: Path) -> None:
    """Under a shell with job control: it gets its prompt back and says so; then the command goes on with its terminal."""
    with screen(tmp_path, shell="PS1='$ ' exec bash --norc --noediting -i") as shown:
        shown.see(b"$ ")
        shown.type(shlex.join(exec_words("--", "sh", "-c", 'echo ready; read a; echo "got $a"')).encode() + b"\r")
        shown.see(b"\nready\r\n")
        shown.type(b"\x1a")
        shown.see(b"Stopped")
        shown.see(b"$ ")
        shown.type(b"echo prompt-$((40 + 2))\r")
        shown.see(b"prompt-42\r\n")
        shown.type(b"fg\r")
        shown.see(b"echo ready")  # the shell says what goes on
        wait_until(lambda: not shown.local_modes() & termios.ICANON, 90, "the keys are ours again")
        shown.type(b"words\r")
        shown.see(b"got words\r\n")
        shown.see(b"$ ")
        shown.type(b"exit\r")
        assert shown.end() == 0
    assert len(kept(tmp_path)) == 1


def test_control_z_where_nobody_could_continue_us_stops_nothing(tmp_path: Path) -> None:
    with screen(tmp_path, "--", "sh", "-c", 'echo ready; read a; echo "got $a"') as shown:
        shown.see(b"ready\r\n")
        shown.type(b"\x1a")
        shown.type(b"words\r")
        shown.see(b"got words\r\n")
        assert shown.end() == 0


@pytest.mark.parametrize("piped_stdin", [False, True])
def test_another_size_is_told_and_seen(tmp_path: Path, piped_stdin: bool) -> None:
    line = f"{'sleep 60 | ' if piped_stdin else ''}@ -- {shlex.quote(sys.executable)} -c {shlex.quote(SIZES)}"
    with screen(tmp_path, shell=line) as shown:
        shown.see(b"ready\r\n")
        shown.resize(44, 77)
        shown.see(b"now 77 x 44\r\n")


def test_only_what_goes_to_the_terminal_gets_one(tmp_path: Path) -> None:
    told = "print([os.isatty(n) for n in (0, 1, 2)], file=open('told', 'w'))"
    code = f"import os; {told}; os.write(1, b'out\\n'); os.write(2, b'err\\n')"  # a line is one write: print may make two of it
    command = f"-- {shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    for redirection, expected in ((">f", [True, False, True]), ("2>f", [True, True, False]), ("</dev/null", [False, True, True])):
        with screen(tmp_path, shell=f"@ {command} {redirection}; echo after") as shown:
            shown.see(b"after\r\n")
        assert (tmp_path / "told").read_text() == f"{expected}\n", redirection
    assert [sorted(completion["output"].split()) for completion in kept(tmp_path)] == [["err", "out"]] * 3


def test_a_reader_of_our_output_keeps_the_keys(tmp_path: Path) -> None:
    """As `less` does: it reads from the terminal while we run before it in a pipe."""
    line = "@ -- sh -c 'echo ready >&2; cat gate; echo out' | sh -c 'read k </dev/tty; echo \"key $k\"; cat'"
    os.mkfifo(tmp_path / "gate")
    with screen(tmp_path, shell=line) as shown:
        shown.see(b"ready\r\n")
        shown.type(b"q\r")
        shown.see(b"key q\r\n")
        (tmp_path / "gate").write_bytes(b"")
        shown.see(b"out\r\n")


def test_a_background_process_keeps_the_terminal(tmp_path: Path) -> None:
    """Its later words are seen, and writing them does not end it."""
    os.mkfifo(tmp_path / "gate")
    line = "@ -- sh -c '(cat gate; echo $? >ended) & echo hi'; echo after; read b"
    with screen(tmp_path, shell=line) as shown:
        shown.see(b"after\r\n")
        (tmp_path / "gate").write_bytes(b"late\n")
        shown.see(b"late")
        wait_until(lambda: (tmp_path / "ended").exists() and (tmp_path / "ended").read_text(), 90, "it ended")
    assert (tmp_path / "ended").read_text() == "0\n"
    assert the_kept(tmp_path)["output"] == "hi\r\n"


def test_a_command_that_cannot_start_is_told_as_ever(tmp_path: Path) -> None:
    with screen(tmp_path, "--", "no-such-command") as shown:
        shown.see(b"wake: exec: no-such-command: command not found\r\n")
        assert shown.end() == 127


def test_a_terminal_that_is_closed_hangs_up_the_command_and_its_end_is_kept(tmp_path: Path) -> None:
    with screen(tmp_path, "--", "sh", "-c", "echo ready; read line") as shown:
        shown.see(b"ready\r\n")
        shown.hang_up()
        assert wait_until(lambda: kept(tmp_path), 90, "the completion is kept")[0]["signal"] == "SIGHUP"


def test_a_command_does_not_outlive_us_when_we_are_killed(tmp_path: Path) -> None:
    with screen(tmp_path, "--", "sh", "-c", "echo $$ ready; read line") as shown:
        number = int(shown.see(b" ready\r\n").split()[0])
        os.kill(shown.pid, signal.SIGKILL)
        wait_gone(number)


def test_megabytes_come_through_whole(tmp_path: Path) -> None:
    with screen(
        tmp_path, *python("import os\nfor n in range(20_000): os.write(1, b'%06d %s\\n' % (n, b'x' * 90))\nprint('done')")
    ) as shown:
        seen = shown.see(b"done\r\n")
        assert shown.end() == 0
    assert seen.count(b"x\r\n") == 20_000
    output = the_kept(tmp_path)["output"]
    assert 65_000 < len(output) <= 65_536
    assert output.endswith("done\r\n")
