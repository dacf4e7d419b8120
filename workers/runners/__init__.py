"""Runners: how a heartbeat reaches its agent. Each takes one `HeartbeatRequest` and answers one `RunResult`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

from dispatcher.config.credential import Credential
from workers.runners.command import OUTPUT_BYTES, CommandRunner
from workers.runners.http import HttpRunner
from workers.runners.openclaw import OpenClawRunner
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


class _WebSettings(Protocol):
    """What a runner over HTTP is built from; paths are absolute or count from the worker's folder."""

    @property
    def url(self) -> str: ...
    @property
    def ca_file(self) -> str | None: ...
    def credential(self) -> Credential: ...


class HttpSettings(_WebSettings, Protocol):
    """What an http runner is built from."""

    @property
    def type(self) -> Literal["http"]: ...


class OpenClawSettings(_WebSettings, Protocol):
    """What an openclaw runner is built from; the secret is the token of the gateway's hooks."""

    @property
    def type(self) -> Literal["openclaw"]: ...
    @property
    def message(self) -> str: ...


def build_runner(
    settings: CommandSettings | PythonSettings | HttpSettings | OpenClawSettings,
    *,
    output_bytes: int = OUTPUT_BYTES,
    withheld: Collection[str] = (),
) -> Runner:
    """The runner of an agent; a command does not inherit the `withheld` variables.

    Loads and starts nothing: what is wrong with the target shows in the first heartbeat, as its failure.
    """
    match settings.type:
        case "command":
            return CommandRunner(
                tuple(settings.command), cwd=settings.cwd, env=dict(settings.env), output_bytes=output_bytes, withheld=withheld
            )
        case "http":
            return HttpRunner(settings.url, settings.credential(), settings.ca_file)
        case "openclaw":
            return OpenClawRunner(settings.url, settings.credential(), settings.message, settings.ca_file)
        case "python":
            return PythonRunner(settings.target)
