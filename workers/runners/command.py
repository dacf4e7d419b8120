"""The `command` runner: a heartbeat is one run of a command, the request is its standard input, its exit code is the answer."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from dispatcher.core.exec_text import clean
from dispatcher.core.lineage import VARIABLE, to_variable
from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran, Skipped
from workers.reaper import Reaper, ReaperUnavailable, shared_reaper
from workers.runners.gated import OPEN_GATE, GatedCommand, why_not_startable
from workers.runners.protocol import ERROR_CHARS, TRACE_BYTES, Control, RunResult, Why, broken_off, trace_headers
from workers.runners.pump import Pump

URL = "WAKE_REDIS_URL"  # with a login it is the worker's own
SECRETS = ("WAKE_REDIS_PASSWORD", "WAKE_REDIS_PASSWORD_FILE", "WAKE_TOKEN_KEYS", "FLOWER_BASIC_AUTH")
EXIT_BUSY = 75  # EX_TEMPFAIL
OUTPUT_BYTES = 64 * 1024
DRAIN_S = 0.5  # how long a process that the command left behind may hold its outputs open
UNKILLABLE_S = 5.0  # after SIGKILL; longer only inside the kernel
CHECK_S = 1.0  # how often a running command looks whether its reaper is alive


@dataclass(frozen=True)
class CommandRunner:
    """Runs `command` (no shell) in a process group of its own.

    Exit code 0 is Ran, 75 is Busy, `exit_skipped` (if there is one) is Skipped, any other end is Failed. When the lease is lost the group
    is killed at once; at the time limit, at a stop and when an operator cancels it gets SIGTERM and, `kill_grace_s` later, SIGKILL. What
    the command left running in its group is killed too, unless it ended with 0 and nothing holds its outputs open: an agent may start a
    long command of its own and end its turn. Of each output the last `output_bytes` are kept.
    """

    command: Sequence[str]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    output_bytes: int = OUTPUT_BYTES
    kill_grace_s: float = 2.0
    exit_skipped: int | None = None
    withheld: Collection[str] = ()
    reaper: Reaper = field(default_factory=shared_reaper)

    def run(self, request: HeartbeatRequest, control: Control) -> RunResult:
        if why := control.why():
            return broken_off(why)
        env = environment(request, self.env, self.withheld)
        if problem := why_not_startable(self.command, self.cwd, env):
            return self._not_started(request, problem)
        payload = OPEN_GATE + request.model_dump_json().encode() + b"\n"
        with ExitStack() as stack:
            try:
                command = stack.enter_context(
                    GatedCommand(self.command, cwd=self.cwd, env=env, reaper=self.reaper, trust_ms=control.trust_left_ms())
                )
            except (OSError, ValueError, ReaperUnavailable) as error:  # ValueError: a NUL in the command
                return self._not_started(request, str(error))
            pump = stack.enter_context(Pump(command, payload, self.output_bytes))
            stack.enter_context(control.waking(pump.wake))
            stack.enter_context(control.renewing(command.renew))
            why = _Watch(command, pump, control, self.kill_grace_s, self.reaper).until_over()
            result = _result(command.status(), why, pump, control, self.exit_skipped)
            if pump.outputs_open or not isinstance(result, Ran):
                command.kill(signal.SIGKILL)
            return result

    def _not_started(self, request: HeartbeatRequest, problem: str) -> Failed:
        return Failed(error=f"start command agent={request.agent_id}: {problem}; check the runner of this agent in the configuration")


@dataclass
class _Watch:
    """One command from its start to its end, whoever ends it."""

    command: GatedCommand
    pump: Pump
    control: Control
    kill_grace_s: float
    reaper: Reaper
    why: Why | None = None
    next_step_at: float | None = None  # the kill after a SIGTERM, or giving up after the kill
    killed: bool = False

    def until_over(self) -> Why | None:
        """Returns why the command was broken off, None when it ended by itself. Afterwards it is dead, or unkillable."""
        while self.command.status() is None:
            if not self._press_on():
                return self.why
            self.reaper.check()
            self.pump.step(self._patience_s())
        self.pump.drain(DRAIN_S)
        return self.why

    def _press_on(self) -> bool:
        """Sends the signal that is due. False when there is nothing left to try."""
        why = self.control.why()
        if why is Why.LOST and self.why is not Why.LOST:
            self.why = why
            self._kill()
        elif why and not self.why:
            self.why = why
            self.command.kill(signal.SIGTERM)
            self.next_step_at = time.monotonic() + self.kill_grace_s
        elif self.next_step_at and time.monotonic() >= self.next_step_at:
            if self.killed:
                return False
            self._kill()
        return True

    def _kill(self) -> None:
        self.command.kill(signal.SIGKILL)
        self.killed = True
        self.next_step_at = time.monotonic() + UNKILLABLE_S

    def _patience_s(self) -> float:
        until_limit_s = CHECK_S if self.why else self.control.remaining_s()
        until_next_s = CHECK_S if self.next_step_at is None else self.next_step_at - time.monotonic()
        return max(0.0, min(CHECK_S, until_limit_s, until_next_s))


def environment(request: HeartbeatRequest, configured: Mapping[str, str], withheld: Collection[str] = ()) -> dict[bytes, bytes]:
    """The worker's environment, the configured one over it, the request's `WAKE_*` over both. Bytes, so that the locale has no say.

    The worker's own secrets are left out, and `withheld`; what the command may know of them is configured for it.
    """
    ours = {
        "WAKE_AGENT_ID": request.agent_id,
        "WAKE_SESSION_KEY": request.session_key,
        "WAKE_BATCH_ID": request.batch_id,
        "WAKE_ATTEMPT": str(request.attempt),
        "WAKE_TOKEN": str(request.token),
        VARIABLE: to_variable(request.agent_id, request.lineage),
    }
    not_its = {"WAKE_TRACE", "TRACEPARENT", "TRACESTATE"}  # of whoever started the worker: not this heartbeat's
    not_its |= {*SECRETS, *withheld}
    if "@" in os.environ.get(URL, "") or "password=" in os.environ.get(URL, ""):
        not_its.add(URL)
    trace = request.trace or {}
    as_json = json.dumps(trace)
    if trace and len(as_json) <= TRACE_BYTES:
        ours["WAKE_TRACE"] = as_json
    ours |= {name.upper(): value for name, value in trace_headers(trace).items()}
    env = {name: value for name, value in os.environb.items() if name.decode("latin-1") not in not_its}
    return env | {k.encode(): v.encode() for k, v in configured.items()} | {k.encode(): v.encode() for k, v in ours.items()}


def _result(status: int | None, why: Why | None, pump: Pump, control: Control, exit_skipped: int | None) -> RunResult:
    out, err = clean(pump.stdout.text()).strip(), clean(pump.stderr.text()).strip()
    both = "\n".join(filter(None, (out, err)))
    if why:
        return broken_off(why, both if status is not None else f"{both}\nstill alive after SIGKILL")
    if status == -signal.SIGKILL and (left_ms := control.trust_left_ms()) is not None and left_ms <= 0:
        return broken_off(Why.LOST, both)  # the reaper was faster than the lease keeper
    if status == 0:
        return Ran(note=out or err)
    if status == EXIT_BUSY:
        return Busy()
    if status is not None and status == exit_skipped:
        return Skipped(reason=next(iter((out or err).splitlines()[-1:]), "not needed")[-ERROR_CHARS:])
    how = f"killed by {_signal_name(-status)}" if status is not None and status < 0 else f"exit code {status}"
    last_line = next(iter((err or out).splitlines()[-1:]), "")[-ERROR_CHARS:]
    return Failed(error=f"{how}: {last_line}" if last_line else how, note=both)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
