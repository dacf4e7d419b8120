"""What is wrong with a configuration, in words: each problem names its key as it would be written in wake.toml, and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dispatcher.config.agents import ActiveHoursSettings
from dispatcher.config.environment import variable_of
from dispatcher.config.model import NAMED_TABLES, TABLES, Config
from dispatcher.config.runners import CommandRunner, HttpRunner, OpenClawRunner, PythonRunner

RUNNERS: dict[str, type[BaseModel]] = {"command": CommandRunner, "python": PythonRunner, "http": HttpRunner, "openclaw": OpenClawRunner}
FORMS = {
    "runner": '{ type = "command", command = ["./heartbeat.sh"] }, { type = "python", target = "module:callable" }, '
    '{ type = "http", url = "https://host/path", secret_file = "FILE" } or { type = "openclaw", secret_file = "FILE" }',
    "precheck": '{ type = "command", command = ["./needed.sh"] } or { type = "python", target = "module:callable" }',
    "active_hours": '{ start = "08:00", end = "22:00", timezone = "Europe/Berlin" }',
}
SECRETS = ("url", "secret")
TABLE_SIMILARITY = 0.8  # [tool] is nobody's misspelt [pools], nor [targets] [agents]
Location = tuple[int | str, ...]


def dotted(location: Location) -> str:
    """The key as TOML writes it: `agents."lab-*".min_spacing_ms`, `pools.lab.agents[0]`."""
    words = ""
    for part in location:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            words += ("." if words else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return words


def describe(error: ValidationError, overridden: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for each fault; a value that came from the environment also names its variable."""
    lines = []
    for fault in error.errors(include_url=False):
        location = _as_written(fault["loc"])
        key = dotted(location)
        table, name = str(location[0]), str(location[1]) if len(location) > 1 else ""
        if name and name in overridden.get(table, {}):
            key += f" (from {variable_of(table, name)})"
        lines.append(f"{key}: {_words(fault, location)}")
    return lines


def unknown_tables(data: Mapping[str, Any]) -> list[str]:
    """A line for each top-level key that is none of ours."""
    lines = []
    for name in data:
        if name in TABLES:
            continue
        if close := _close_table(name):
            lines.append(f"{dotted((name,))}: unknown table; did you mean [{close}]?")
        elif homes := _homes(name):
            lines.append(f"{dotted((name,))}: unknown here; it belongs in [{homes[0]}]")
        else:
            tables = ", ".join(f"[{table}]" for table in TABLES)
            lines.append(f"{dotted((name,))}: unknown table (is this another program's file? see --config); the tables are {tables}")
    return lines


def looks_foreign(data: Mapping[str, Any]) -> bool:
    """Whether nothing at the top of the file is ours, not even misspelt, nor all of it keys of ours outside their tables."""
    return bool(data) and not any(_close_table(name) for name in data) and not all(_homes(name) for name in data)


def duplicates(data: Mapping[str, Any]) -> list[str]:
    """Agents that are named twice because case does not count, and agents or patterns that two pools name."""
    problems: list[str] = []
    seen: dict[str, Location] = {}
    for location, name in [*_named_agents(data), *_named_in_pools(data)]:
        key = f"{location[0]} {name.lower()}"
        if key in seen:
            problems.append(f"{dotted(location)}: {name!r} is named by {dotted(seen[key])} already; keep one")
        seen.setdefault(key, location)
    return problems


def _named_agents(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    agents = data.get("agents")
    for name in agents if isinstance(agents, Mapping) else ():
        yield ("agents", name), name


def _named_in_pools(data: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    pools = data.get("pools")
    for pool, table in pools.items() if isinstance(pools, Mapping) else ():
        named = table.get("agents") if isinstance(table, Mapping) else None
        for index, name in enumerate(named if isinstance(named, list) else ()):
            if isinstance(name, str):
                yield ("pools", pool, "agents", index), name


def contradictions(config: Config) -> list[str]:
    """What only shows when [defaults] and an agent's own table are put together."""
    problems = []
    for name, policy in (("", config.defaults), *config.agents.items()):
        merged = config.defaults.model_copy(update={key: getattr(policy, key) for key in policy.model_fields_set})
        if merged.retry_max_ms < merged.retry_base_ms and (not name or policy.model_fields_set & {"retry_max_ms", "retry_base_ms"}):
            table = ("agents", name) if name else ("defaults",)
            problems.append(
                f"{dotted((*table, 'retry_max_ms'))}: {merged.retry_max_ms} must be at least retry_base_ms = {merged.retry_base_ms}"
            )
        if merged.quiet_ms > 0 >= merged.max_wait_ms and (not name or policy.model_fields_set & {"quiet_ms", "max_wait_ms"}):
            table = ("agents", name) if name else ("defaults",)
            problems.append(f"{dotted((*table, 'quiet_ms'))}: needs max_wait_ms, or wakes that keep coming would never run")
    return problems


def _as_written(location: Location) -> Location:
    """pydantic's path without what no file contains: the tag of the chosen runner or precheck, and the mark of a key."""
    words = [part for part in location if part != "[key]"]
    return tuple(part for at, part in enumerate(words) if not (part in RUNNERS and at and words[at - 1] in ("runner", "precheck")))


def _words(fault: ErrorDetails, location: Location) -> str:
    match fault["type"]:
        case "extra_forbidden":
            return _unknown_key(fault["loc"], str(location[-1]))
        case "union_tag_not_found" | "union_tag_invalid":
            return f"must be {FORMS[str(location[-1])]}"
        case "missing":
            return "is missing"
        case "value_error":
            return str(fault["ctx"]["error"])
        case "model_type" | "model_attributes_type":
            form = f"; write {FORMS[str(location[-1])]}" if location[-1] in FORMS else ""
            return f"must be a table, not {fault['input']!r:.80}{form}"
        case _:
            text = fault["msg"].replace("Input should be", "must be").replace("String should", "must")
            return text if location[-1] in SECRETS else f"{text}, not {fault['input']!r:.80}"


def _unknown_key(location: Location, key: str) -> str:
    model = TABLES.get(str(location[0])) if len(location) > 1 else None
    if model is None:
        return "unknown table"
    for part in location[1:-1]:
        if part == "active_hours":
            model = ActiveHoursSettings
        elif "runner" in location[:-1] or "precheck" in location[:-1]:
            model = RUNNERS.get(str(part), model)
    close = difflib.get_close_matches(key.lower(), model.model_fields, n=1)
    if close:
        return f"unknown key; did you mean `{close[0]}`?"
    homes = [home for home in _homes(key) if home != location[0]]
    return f"unknown key; it belongs in [{homes[0]}]" if homes else f"unknown key; known are {', '.join(model.model_fields)}"


def _close_table(name: str) -> str | None:
    close = difflib.get_close_matches(name.lower(), TABLES, n=1, cutoff=TABLE_SIMILARITY)
    return close[0] if close else None


def _homes(key: str) -> list[str]:
    """The tables that have a key of this name."""
    return [table if table not in NAMED_TABLES else f"{table}.NAME" for table, model in TABLES.items() if key.lower() in model.model_fields]
