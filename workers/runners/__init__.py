"""Runners: how a heartbeat reaches its agent. Each takes one `HeartbeatRequest` and answers one `RunResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from workers.runners.command import OUTPUT_BYTES, CommandRunner
from workers.runners.credential import Credential
from workers.runners.http import HttpRunner
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


class HttpSettings(Protocol):
    """What an http runner is built from; paths are absolute or count from the worker's own folder. One of the secret's places is set."""

    @property
    def type(self) -> Literal["http"]: ...
    @property
    def url(self) -> str: ...
    @property
    def ca_file(self) -> str | None: ...
    @property
    def secret_file(self) -> str | None: ...
    @property
    def secret_env(self) -> str | None: ...
    def plain_secret(self) -> str | None: ...


def build_runner(settings: CommandSettings | PythonSettings | HttpSettings, *, output_bytes: int = OUTPUT_BYTES) -> Runner:
    """The runner of an agent. Loads and starts nothing: what is wrong with the target shows in the first heartbeat, as its failure."""
    match settings.type:
        case "command":
            return CommandRunner(tuple(settings.command), cwd=settings.cwd, env=dict(settings.env), output_bytes=output_bytes)
        case "http":
            secret = Credential(file=settings.secret_file, env=settings.secret_env, plain=settings.plain_secret())
            return HttpRunner(settings.url, secret, ca_file=settings.ca_file)
        case "python":
            return PythonRunner(settings.target)
