"""The precheck of an agent: asked before each heartbeat whether it is needed, without a token spent."""

from __future__ import annotations

import logging
from collections.abc import Collection

from dispatcher.config import CommandRunner as CommandSettings
from dispatcher.config import PythonRunner as PythonSettings
from dispatcher.core.models import Failed, HeartbeatRequest, Ran, Skipped
from workers.runners import Cancelled, Control, RunResult, protocol
from workers.runners.command import CommandRunner
from workers.runners.python import PythonRunner

log = logging.getLogger(__name__)
EXIT_NOT_NEEDED = 10  # not 1: a script that breaks off ends with that, and then the heartbeat must run
REASON_CHARS = 200


class Precheck:
    """A command (exit 0: needed, 10: not, its last line is the reason) or a callable (None or True, False or `Skipped`)."""

    def __init__(self, settings: CommandSettings | PythonSettings, limit_s: float, withheld: Collection[str] = ()) -> None:
        self._limit_s = limit_s
        self._runner: CommandRunner | PythonRunner
        if isinstance(settings, CommandSettings):
            self._runner = CommandRunner(
                tuple(settings.command), cwd=settings.cwd, env=dict(settings.env), exit_skipped=EXIT_NOT_NEEDED, withheld=withheld
            )
        else:
            self._runner = PythonRunner(settings.target)

    def ask(self, request: HeartbeatRequest, control: Control) -> RunResult | None:
        """None: run the heartbeat. A precheck that fails, or takes longer than its limit, says nothing: the heartbeat runs."""
        own = Control(self._limit_s, lost=control.lost, stop=control.stop, cancel=control.cancel, trust_ms=control.trust_left_ms())
        with control.renewing(own.renewed):
            answer = self._runner.run(request, own)
        match answer:
            case Skipped(reason=reason):
                return Skipped(reason=f"precheck: {reason}"[:REASON_CHARS])
            case Ran(acted=False):
                return Skipped(reason="precheck: not needed")
            case Ran():
                return None
            case Cancelled():
                return answer
            case Failed(error=protocol.LEASE_LOST):
                return answer
            case _:
                log.warning("the precheck gave no answer, so the heartbeat runs: %s", getattr(answer, "error", answer.kind))
                return None
