"""What may be set for an agent: its runner and its policy."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

WORKER_VARIABLES = ("WAKE_AGENT_ID", "WAKE_SESSION_KEY", "WAKE_BATCH_ID", "WAKE_ATTEMPT", "WAKE_TOKEN", "WAKE_TRACE")
DAY_MS = 86_400_000


class Section(BaseModel):
    """Base of every table in wake.toml: immutable, no coercion, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def _program(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0].strip():
        raise ValueError('must name a program, as in ["./heartbeat.sh"]')
    if any("\0" in word for word in words):
        raise ValueError("must not contain NUL")
    return words


def _variables(variables: dict[str, str]) -> dict[str, str]:
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in value:
            raise ValueError(f"{name!r} cannot be an environment variable")
        if name in WORKER_VARIABLES:
            raise ValueError(f"{name} is set by the worker for each heartbeat")
    return variables


def _module_and_callable(target: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", target):
        raise ValueError(f'must have the form "package.module:callable", not {target!r}')
    return target


class CommandRunner(Section):
    """A heartbeat is one run of a program: the request as JSON on its stdin; exit 0 = ran, 75 = busy, else failed."""

    type: Literal["command"] = "command"
    command: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_program)] = Field(
        description="Program and arguments; no shell. A relative program path counts from `cwd`."
    )
    cwd: str | None = Field(None, min_length=1, description="Working folder, relative to the file's folder. Default: that folder.")
    env: Annotated[dict[str, str], AfterValidator(_variables)] = Field({}, description="Variables added to the worker's environment.")


class PythonRunner(Section):
    """A heartbeat is one call of a Python callable in the worker process; it is cancelled cooperatively."""

    type: Literal["python"] = "python"
    target: Annotated[str, AfterValidator(_module_and_callable)] = Field(description='"module:callable", importable by the worker.')


Runner = Annotated[CommandRunner | PythonRunner, Field(discriminator="type")]


class AgentPolicy(Section):
    """How one agent is woken. In [defaults] for all, in [agents.X] for one or a pattern; what X leaves out comes from above it.

    Of window_ms, min_spacing_ms, flood_starts, flood_window_ms and max_wait_ms, 0 or less switches the guard off.
    """

    runner: Runner | None = Field(None, description="What a heartbeat runs. Without one, routing works and every heartbeat fails.")
    window_ms: int = Field(250, le=3_600_000, description="ms an ordinary wake waits for others, counted from the first; it never slides.")
    min_spacing_ms: int = Field(30_000, le=DAY_MS, description="ms between two starts for event and task wakes.")
    flood_starts: int = Field(5, le=10_000, description="Starts within flood_window_ms that close the flood guard.")
    flood_window_ms: int = Field(60_000, le=DAY_MS, description="ms that a start counts in the flood guard.")
    time_limit_s: float = Field(600, gt=0, le=86_400, description="s until the runner is cancelled and the heartbeat has failed.")
    max_failures: int = Field(5, ge=1, le=1_000, description="Failed attempts of a batch before it becomes dead letters.")
    max_deliveries: int = Field(
        20, ge=1, le=10_000, description="Starts of a batch, lost workers included, before it becomes dead letters."
    )
    retry_base_ms: int = Field(
        2_000, ge=1, le=3_600_000, description="ms before the first retry after a failure; doubles each time, with jitter."
    )
    retry_max_ms: int = Field(600_000, ge=1, le=DAY_MS, description="ms that the doubling stops at; at least retry_base_ms.")
    notify_empty_success: bool = Field(False, description="Whether exit 0 without output wakes the agent; otherwise it is suppressed.")
    wake_subagents: bool = Field(False, description="Whether completions of subagent sessions wake by themselves instead of riding along.")
    enabled: bool = Field(True, description="False: its completions become dead letters `agent-disabled`.")
    max_wait_ms: int = Field(60_000, le=DAY_MS, description="ms after which an old wake goes before a more urgent one.")
    max_batch: int = Field(5_000, ge=1, le=5_000, description="Completions in one heartbeat; the rest is the next batch.")
    main_key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = Field(
        "main", description="Last part of the agent's main session key; the bare key `main` is an alias of it."
    )
