"""What may be set for an agent: when it is woken, and by what runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dispatcher.config.runners import Precheck, Runner
from dispatcher.config.section import DAY_MS, Section
from dispatcher.core.durations import parse_duration_ms
from dispatcher.core.errors import ConfigError
from dispatcher.core.schedule import USER_TIMEZONE, ActiveHours

MIN_INTERVAL_MS = 1_000


def _interval(text: str) -> str:
    interval_ms = parse_duration_ms(text)
    if interval_ms and not MIN_INTERVAL_MS <= interval_ms <= 366 * DAY_MS:
        raise ValueError(f'{text!r} must be between "1s" and "366d", or "0" for no cadence')
    return text


def _zone_name(name: str) -> str:
    _parsed(lambda: ActiveHours.parse("00:00", "24:00", None, name))
    return name


def _parsed(parse: Callable[[], ActiveHours]) -> ActiveHours:
    try:
        return parse()
    except ConfigError as error:
        raise ValueError("; ".join(problem.partition(": ")[2] for problem in error.problems)) from None


class ActiveHoursSettings(Section):
    """A daily window on a wall clock: scheduled and event wakes run inside it, what came outside follows at its start, as one turn."""

    start: str = Field(description="HH:MM, the first active minute.")
    end: str = Field(description="HH:MM up to 24:00, the first quiet minute; before `start` it is on the next day, equal is never.")
    timezone: str = Field(USER_TIMEZONE, description='IANA zone, or "user" for user_timezone.')

    @model_validator(mode="after")
    def _is_a_window(self) -> ActiveHoursSettings:
        self.hours("UTC")
        return self

    def hours(self, user_timezone: str) -> ActiveHours:
        return _parsed(lambda: ActiveHours.parse(self.start, self.end, self.timezone, user_timezone))


class AgentPolicy(Section):
    """How one agent is woken. In [defaults] for all, in [agents.X] for one or a pattern; what X leaves out comes from above it.

    Of window_ms, quiet_ms, min_spacing_ms, flood_starts, flood_window_ms, max_wait_ms and the budgets, 0 or less switches it off.
    """

    runner: Runner | None = Field(None, description="What a heartbeat runs. Without one, routing works and every heartbeat fails.")
    window_ms: int = Field(250, le=3_600_000, description="ms an ordinary wake waits for others, counted from the first; it never slides.")
    quiet_ms: int = Field(
        0, le=3_600_000, description="ms without a new wake before they run, instead of window_ms; at most max_wait_ms after the first."
    )
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
    every: Annotated[str, AfterValidator(_interval)] = Field(
        "0", description='Cadence: a scheduled wake of the main session, as in "30m"; "0" is none. Each agent ticks at a phase of its own.'
    )
    phase_seed: str = Field("wake", description="What the phases are computed from: another word, other phases.")
    active_hours: ActiveHoursSettings | None = Field(
        None, description="Daily window for scheduled and event wakes; manual and immediate ones always run. Unset: always."
    )
    user_timezone: Annotated[str, AfterValidator(_zone_name)] = Field("UTC", description='IANA zone of active_hours with timezone "user".')
    budget_per_hour: int = Field(0, le=1_000_000, description="Heartbeats in an hour of the clock; manual ones are not held back.")
    budget_per_day: int = Field(0, le=10_000_000, description="Heartbeats in 24 hours; manual ones are not held back.")
    over_budget: Literal["defer", "dead-letter"] = Field("defer", description="What becomes of event wakes beyond a budget.")
    notify: Literal["output", "always", "failures", "never"] = Field(
        "output",
        description="Which completions wake: all but a success or a cancel without output, all but such a cancel, those that "
        "failed, or none. The others are suppressed, not lost.",
    )
    precheck: Precheck | None = Field(
        None, description="Asked before each heartbeat whether it is needed; a command: exit 0 yes, 10 no. What it cannot answer is a yes."
    )
    precheck_limit_s: float = Field(10, gt=0, le=600, description="s until a precheck without an answer counts as yes.")
    max_lineage_depth: int = Field(8, ge=0, le=1_000, description="Heartbeats that may cause one another; a longer chain is slowed down.")
    lineage_spacing_ms: int = Field(
        30_000, ge=1, le=3_600_000, description="ms between two heartbeats of a longer chain; doubles with each, up to an hour."
    )
    wake_subagents: bool = Field(False, description="Whether completions of subagent sessions wake by themselves instead of riding along.")
    enabled: bool = Field(True, description="False: its completions become dead letters `agent-disabled`.")
    max_wait_ms: int = Field(60_000, le=DAY_MS, description="ms after which an old wake goes before a more urgent one.")
    max_batch: int = Field(5_000, ge=1, le=5_000, description="Completions in one heartbeat; the rest is the next batch.")
    main_key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = Field(
        "main", description="Last part of the agent's main session key; the bare key `main` is an alias of it."
    )
