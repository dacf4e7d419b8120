"""Overrides from the environment: `WAKE_<TABLE>_<KEY>` for every table that holds plain values, and the short `WAKE_DATA_DIR`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import create_model
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from dispatcher.config.model import NAMED_TABLES
from dispatcher.config.model import TABLES as EVERY_TABLE

PREFIX = "WAKE_"
DATA_DIR = "WAKE_DATA_DIR"
TYPO_SIMILARITY = 0.85


class _FromEnvironment(BaseSettings):
    """Values that are no plain ones (a runner, bindings) as JSON."""

    model_config = SettingsConfigDict(strict=True, env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1)


TABLES = {name: model for name, model in EVERY_TABLE.items() if name not in NAMED_TABLES}
_FIELDS: dict[str, Any] = {name: (model, ...) for name, model in TABLES.items()}
Overridable = create_model("Overridable", __base__=_FromEnvironment, **_FIELDS)
VARIABLES = {f"{PREFIX}{table}_{key}".upper(): (table, key) for table, model in TABLES.items() for key in model.model_fields}


def overrides(env: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """(tables as a file would hold them, problems). An empty variable is none; one that is not ours is left alone."""
    given = {name: value for name, value in env.items() if name in VARIABLES and value != ""}
    if env.get(DATA_DIR):
        given["WAKE_REDIS_DATA_DIR"] = env[DATA_DIR]
    if "WAKE_REDIS_DATA_DIR" in given:  # typed in a shell: counts from there, not from the file's folder
        given["WAKE_REDIS_DATA_DIR"] = str(Path.cwd() / Path(given["WAKE_REDIS_DATA_DIR"]).expanduser())
    problems = [problem for name in env if (problem := _typo(name))]
    source = EnvSettingsSource(Overridable)
    tables: dict[str, dict[str, Any]] = {}
    for name, value in sorted(given.items()):  # one by one, so that a bad one does not hide the others
        source.env_vars = {name.lower(): value}
        try:
            found = source()
        except (SettingsError, ValueError, RecursionError):
            problems.append(f"{name}: is not the JSON text of {'.'.join(VARIABLES[name])}")
            continue
        for table, values in found.items():
            tables.setdefault(table, {}).update(values)
    return tables, problems


def variable_of(table: str, key: str) -> str:
    """The environment variable that overrides a key of the file."""
    return f"{PREFIX}{table}_{key}".upper()


def _typo(name: str) -> str | None:
    """Only a near miss is called a typo: a container platform, too, sets variables such as WAKE_REDIS_PORT for a service `wake-redis`."""
    if name in VARIABLES or not any(name.startswith(f"{PREFIX}{table}_".upper()) for table in TABLES):
        return None
    close = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=TYPO_SIMILARITY)
    return f"{name}: unknown variable; did you mean {close[0]}?" if close else None
