"""A scenario file: who there is, what arrives when, how long turns take and how they end, and what breaks. Checked as a whole."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dispatcher.config import Config, parsed
from dispatcher.config.problems import dotted
from dispatcher.core.durations import parse_duration_ms
from dispatcher.core.errors import ConfigError
from dispatcher.core.models import Intent
from dispatcher.core.session_key import valid_agent_id
from dispatcher.simulate.answers import Answer

MAX_AGENTS = 10_000
MAX_ARRIVALS = 2_000_000


def _ms(text: object) -> object:
    return parse_duration_ms(text) if isinstance(text, str) else text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # ValueError and OSError: a name that is a path or a folder of the database
        raise ValueError(f"{name!r} is no IANA time zone; write one like Europe/Berlin or UTC") from None
    return name


def _agent_ids(agents: int | tuple[str, ...]) -> int | tuple[str, ...]:
    if isinstance(agents, int):
        if not 1 <= agents <= MAX_AGENTS:
            raise ValueError(f"must be 1 to {MAX_AGENTS} agents")
        return agents
    wrong = [name for name in agents if not valid_agent_id(name) or name != name.lower()]
    if wrong or not agents:
        raise ValueError(f"{', '.join(map(repr, wrong)) or 'an empty list'}: no agent ids; use lower-case letters, digits, _ and -")
    return agents


def _no_cadence(intent: Intent) -> Intent:
    if intent is Intent.SCHEDULED:
        raise ValueError("scheduled is what a cadence does; set `every` for the agent")
    return intent


Ms = Annotated[int, BeforeValidator(_ms), Field(ge=0)]
Times = Annotated[tuple[Ms, ...], Field(strict=False)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class Part(BaseModel):
    """Base of every table of a scenario: immutable, unknown keys are errors. Durations are texts like "30m"; times count from the start."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Selecting(Part):
    """A table that is about some agents: ids or patterns like `lab-*`."""

    agents: Names = ("*",)

    def covers(self, agent_id: str) -> bool:
        return any(fnmatchcase(agent_id, pattern) for pattern in self.agents)


class Arrivals(Selecting):
    """[[arrivals]]: completions of each of these agents: at given times, periodic, or at random (Poisson) with a rate."""

    at: Times = Field((), description="Times of arrival.")
    every: Ms = Field(0, description="One in each such time, the first at `after`.")
    per_hour: float = Field(0, ge=0, le=36_000, description="So many in an hour on the average, at random.")
    after: Ms = Field(0, description="Nothing before this time.")
    until: Ms | None = Field(None, description="Nothing from this time on.")
    count: int | None = Field(None, ge=1, description="So many instants at most.")
    burst: int = Field(1, ge=1, le=100_000, description="So many completions at each instant.")
    within: Ms = Field(0, description="A burst is spread evenly over this time.")
    session: str = Field("main", min_length=1, description="Rest of the session key after `agent:ID:`.")
    intent: Annotated[Intent, Field(strict=False), AfterValidator(_no_cadence)] = Field(
        Intent.EVENT, description="`event`: completions of commands; manual, immediate, task: wakes that somebody asks for."
    )
    exit_code: int = 0
    output: str = Field("done", description="What the command printed; without any, a success may be quiet.")

    @model_validator(mode="after")
    def _one_way(self) -> Arrivals:
        if sum(map(bool, (self.at, self.every, self.per_hour))) != 1:
            raise ValueError("needs one of at, every and per_hour")
        return self


class Runner(Selecting):
    """[[runners]]: how the turns of these agents go. The first table that covers an agent is its own."""

    duration: Ms | Annotated[tuple[Ms, Ms], Field(strict=False)] = Field(20_000, description="Of a turn: a time, or [shortest, longest].")
    answers: Annotated[tuple[Answer, ...], Field(strict=False, min_length=1)] = Field(
        ("ran",), validate_default=True, description="In order for each agent, the last one repeats."
    )
    pick: Literal["in-order", "random"] = "in-order"

    @model_validator(mode="after")
    def _ordered(self) -> Runner:
        if isinstance(self.duration, tuple) and self.duration[0] > self.duration[1]:
            raise ValueError("duration: the shortest comes first")
        return self


class Crash(Selecting):
    """[[crashes]]: the worker that runs a heartbeat of these agents then is gone.

    `killed`: its connection closes, others notice and reclaim the lease. `vanished`: the connection stays, the lease runs out.
    """

    at: Ms
    how: Literal["killed", "vanished"] = "killed"


class Outage(Part):
    """[[outages]]: every worker is killed, and new ones come after this time. Arrivals go on."""

    at: Ms
    lasts: Ms


class Pause(Selecting):
    """[[pauses]]: an operator pauses these agents, and resumes them after this time, if one is given."""

    at: Ms
    lasts: Ms | None = None


class Scenario(Part):
    """The whole file. `settings` is what a `wake.toml` would hold; without it the configuration in force is used."""

    name: str = "scenario"
    start: datetime = datetime(2026, 1, 5)  # noqa: DTZ001  # `zone` says where on the wall
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    duration: Annotated[int, BeforeValidator(_ms), Field(ge=1_000, le=366 * 86_400_000)] = 86_400_000
    seed: int = 1
    agents: Annotated[int | Annotated[tuple[str, ...], Field(strict=False)], AfterValidator(_agent_ids)] = 1
    workers: int = Field(0, ge=0, description="Heartbeats that all workers together can run at a time; 0: as many as there are.")
    settings: dict[str, Any] | None = None
    arrivals: Annotated[tuple[Arrivals, ...], Field(strict=False)] = ()
    runners: Annotated[tuple[Runner, ...], Field(strict=False)] = ()
    crashes: Annotated[tuple[Crash, ...], Field(strict=False)] = ()
    outages: Annotated[tuple[Outage, ...], Field(strict=False)] = ()
    pauses: Annotated[tuple[Pause, ...], Field(strict=False)] = ()

    @property
    def start_ms(self) -> int:
        start = self.start if self.start.tzinfo else self.start.replace(tzinfo=ZoneInfo(self.zone))
        return round(start.timestamp() * 1000)

    @property
    def agent_ids(self) -> tuple[str, ...]:
        if isinstance(self.agents, tuple):
            return self.agents
        width = len(str(self.agents))
        return tuple(f"agent-{number:0{width}}" for number in range(1, self.agents + 1))

    @property
    def counted(self) -> bool:
        """Whether the agents are a number, which no configuration need know."""
        return isinstance(self.agents, int)


def read_scenario(path: Path) -> tuple[Scenario, Config | None]:
    """The scenario, and its own settings if it has any. Raises ConfigError with every fault."""
    source = path.expanduser().absolute()
    try:
        data = tomllib.loads(source.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"cannot be read ({error.strerror}); correct --scenario"], str(source)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"is not valid TOML: {error}"], str(source)) from None
    problems, scenario, own = [], None, None
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        problems += [f"{dotted(_as_written(fault['loc']))}: {_words(fault['msg'])}" for fault in error.errors(include_url=False)]
    if isinstance(settings := data.get("settings"), dict):
        try:
            own = parsed(settings, source)
        except ConfigError as error:
            problems += [f"settings.{problem}" for problem in error.problems]
    if scenario is not None:
        problems += _nobody(scenario) + (unknown(scenario, own) if own else [])
    if problems or scenario is None:
        raise ConfigError(problems, str(source))
    return scenario, own


def unknown(scenario: Scenario, config: Config) -> list[str]:
    """A line for each named agent that this configuration does not know."""
    names = [] if scenario.counted else [name for name in scenario.agent_ids if not config.knows(name)]
    return [f"agents: {name!r} is not configured; add [agents.{name}], or [settings.agents.{name}] in the scenario" for name in names]


def _nobody(scenario: Scenario) -> list[str]:
    tables: dict[str, Sequence[Selecting]] = {
        "arrivals": scenario.arrivals,
        "runners": scenario.runners,
        "crashes": scenario.crashes,
        "pauses": scenario.pauses,
    }
    return [
        f"{dotted((name, place, 'agents'))}: {', '.join(part.agents)} is none of the agents"
        for name, parts in tables.items()
        for place, part in enumerate(parts)
        if not any(part.covers(agent_id) for agent_id in scenario.agent_ids)
    ]


def _as_written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """pydantic's path without the marks of the alternatives it tried."""
    return tuple(part for part in location if isinstance(part, int) or not ("[" in part or part in ("int", "constrained-int")))


def _words(text: str) -> str:
    return text.removeprefix("Value error, ").replace("Input should be", "must be")
