"""`wake exec`: run a command and report how it ended. The command starts first; everything that is slow to import comes after."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from dispatcher.cli.exec_child import Child
from dispatcher.cli.exec_streams import DRAIN_S, say
from dispatcher.core.errors import WakeError

USAGE = """\
Usage: wake exec --session-key KEY [OPTIONS] [--] COMMAND [ARGUMENT...]

Run COMMAND; when it ends, the agent that owns the session gets one more turn
and is told how it ended. Standard input, output, signals and the exit code are
COMMAND's own.

  --session-key KEY  session that the command belongs to, agent:<agent>:<rest>
                     or a bound key (required)
  --agent AGENT      agent that is meant; one that does not own the session is
                     an error, never another receiver
  --id ID            completion id; the same id is reported once
  --run-id RUN       run that the command is a part of
  --step-id STEP     step of that run; with both and no --id, the id is made of
                     session, run and step
  --config FILE      configuration; default: WAKE_CONFIG, then ./wake.toml
  --no-output        COMMAND writes directly to where we write, and nothing of
                     it is reported (a success is then a quiet one)
  --json             one JSON document on standard output; what COMMAND writes
                     goes to standard error
  -h, --help         this text

A token in WAKE_INGRESS_TOKEN goes with the report; it is needed where
[routing] require_token is set. If the server cannot be reached, the completion
is kept in <data_dir>/spool and delivered by the next 'wake exec' or
'wake spool flush'.
Exit code: COMMAND's; 128+N when signal N ended it; 127 not found; 126 not
executable; 2 usage.

Example:
  wake exec --session-key agent:ops:main -- make test
"""
MAX_OUTPUT_BYTES = 64 * 1024
_VALUES = {
    "--session-key": "session_key",
    "--agent": "agent_id",
    "--id": "completion_id",
    "--run-id": "run_id",
    "--step-id": "step_id",
    "--config": "config_path",
}
_SWITCHES = {"--no-output": "no_output", "--json": "as_json"}
# Default action: end without a core file. Of any other signal the command alone dumps core, not we.
_COPIED_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGKILL,
    signal.SIGPIPE,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class UsageError(WakeError):
    """The command line is no valid one; nothing was started."""


class Options:
    """What stands on the command line."""

    session_key: str = ""
    agent_id: str | None = None
    completion_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    config_path: str | None = None
    no_output: bool = False
    as_json: bool = False
    help: bool = False
    command: list[str]

    def __init__(self, words: list[str]) -> None:
        """Raises UsageError."""
        rest = list(words)
        given = set()
        while rest and rest[0].startswith("-"):
            word = rest.pop(0)
            if word == "--":
                break
            if word in ("-h", "--help"):
                self.help = True
                return
            name, equals, value = word.partition("=")
            if name in _VALUES:
                if not equals and (not rest or rest[0] == "--"):
                    raise UsageError(f"{name} needs a value")
                setattr(self, _VALUES[name], value if equals else rest.pop(0))
            elif word in _SWITCHES:
                setattr(self, _SWITCHES[word], True)
            else:
                raise UsageError(f"no such option: {word} (a command that starts with - comes after --)")
            given.add(name)
        if "--session-key" not in given:
            raise UsageError("--session-key is missing")
        if not rest:
            raise UsageError("there is no command")
        self.command = rest


def main(argv: list[str]) -> int:
    """Runs the command and then ends the process as the command ended; returns only for --help and usage errors."""
    try:
        options = Options(argv)
    except UsageError as error:
        say(f"exec: {error}; see 'wake exec --help'")
        return 2
    if options.help:
        sys.stdout.write(USAGE)
        return 0
    _leave(_run(options))
    return 1  # not reached: _leave ends the process


def _run(options: Options) -> int:
    """Exit code, or minus the number of the signal that ended the command."""
    kept_bytes = 0 if options.no_output else MAX_OUTPUT_BYTES
    started_s = time.time()
    child = Child(options.command, keep_output_bytes=kept_bytes, to_stderr=options.as_json)
    # Not before: from here on imports cost the command nothing.
    from dispatcher.cli import exec_report

    reporter = exec_report.Reporter(options.config_path)
    signalled, reported = threading.Event(), threading.Event()

    def hurry(number: int) -> None:
        # Set before the other is asked, as below: whichever comes second sees the first, so no signal falls between report and drain.
        signalled.set()
        if reported.is_set():
            os._exit(_shell_code(code))
        reporter.hurry(number)

    child.on_signal = hurry
    code = child.wait()
    finished_s = time.time()
    if child.failure is not None:
        why = "command not found" if code == 127 else child.failure.strerror
        child.tail.add(2, f"wake exec: {options.command[0]}: {why}\n".encode("utf-8", "replace"))
        say(f"exec: {options.command[0]}: {why}")
    child.drain(DRAIN_S + 1.0)
    delivery = reporter.report(exec_report.completion(options, code, child.tail.text(), started_s, finished_s))
    if options.as_json:
        _print(delivery.as_json())
    # A reader that is slow with the command's last words holds us up, as it would hold up the command, but no longer than a signal.
    reported.set()
    child.drain(0.0 if signalled.is_set() else None)
    child.release()
    return code


def _print(text: str) -> None:
    try:
        os.write(1, f"{text}\n".encode())
    except OSError as error:
        say(f"exec: cannot write to standard output: {error}")


def _shell_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _leave(code: int) -> None:
    """Ends the process as the command ended, without waiting for threads: what they hold is safe, and the server's answer is known."""
    if -code in _COPIED_SIGNALS:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        signal.raise_signal(-code)
    os._exit(_shell_code(code))
