"""Runners: how a heartbeat reaches its agent. Each takes one `HeartbeatRequest` and answers one `RunResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from workers.runners.command import OUTPUT_BYTES, CommandRunner
from workers.runners.protocol import Cancelled, Control, Runner, RunResult, Signal, Why
from workers.runners.python import PythonRunner

__all__ = ["Cancelled", "Control", "RunResult", "Runner", "Signal", "Why", "build_runner"]


class CommandSettings(Protocol):
    """What a command runner is built from; `cwd` is absolute or counts from the worker's own folder."""

    @property
    def type(self) -> Literal["command"]: ...
    @property
    def command(self) -> Sequence[str]: ...
    @property
    def cwd(self) -> str | None: ...
    @property
    def env(self) -> Mapping[str, str]: ...


class PythonSettings(Protocol):
    """What a python runner is built from."""

    @property
    def type(self) -> Literal["python"]: ...
    @property
    def target(self) -> str: ...


def build_runner(settings: CommandSettings | PythonSettings, *, output_bytes: int = OUTPUT_BYTES) -> Runner:
    """The runner of an agent. Loads and starts nothing: what is wrong with the target shows in the first heartbeat, as its failure."""
    if settings.type == "command":
        return CommandRunner(tuple(settings.command), cwd=settings.cwd, env=dict(settings.env), output_bytes=output_bytes)
    return PythonRunner(settings.target)
