"""From a file and the environment to a Config, or to every reason why not."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dispatcher.config.environment import overrides
from dispatcher.config.model import TABLES, Config
from dispatcher.config.problems import contradictions, describe, duplicates, looks_foreign, unknown_tables
from dispatcher.core.errors import ConfigError

FILE_NAME = "wake.toml"


def load(path: Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """The configuration: `path` (--config), else the file in WAKE_CONFIG, else ./wake.toml, else the defaults; then the environment.

    `env` stands in for the process environment. Nothing is created and no connection is opened.
    Raises ConfigError with every problem at once: unreadable file, TOML fault, unknown key, value out of range, contradiction.
    """
    env = os.environ if env is None else env
    source = _source(path, env)
    data = _read(source) if source is not None else {}
    if source is not None and looks_foreign(data):
        tables = ", ".join(f"[{name}]" for name in list(data)[:5])
        problem = (
            f"this is another program's file: none of {tables} is a table of Wake Dispatcher; "
            "name your own file with --config or WAKE_CONFIG (an empty one will do), or work in another folder"
        )
        raise ConfigError([problem], str(source))
    config = _validated(data, *overrides(env), source)
    return config.place(source, source.parent if source is not None else Path.cwd())


def parsed(data: dict[str, Any], source: Path) -> Config:
    """The configuration that a table of another file holds, as a `wake.toml` would, without the environment. Raises ConfigError."""
    return _validated(data, {}, [], source).place(source, source.parent)


def _source(path: Path | None, env: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path.expanduser().absolute()
    if named := env.get("WAKE_CONFIG"):
        return Path(named).expanduser().absolute()
    here = Path.cwd() / FILE_NAME
    return here if here.exists() else None


def _read(source: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text("utf-8-sig"))
    except FileNotFoundError:
        problem = "there is no such file; correct --config or WAKE_CONFIG"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); correct its rights, or name another file with --config"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text; save it as UTF-8"
    except (ValueError, RecursionError) as error:  # also of a number with thousands of digits, and of tables within tables
        problem = f"is not valid TOML: {error}"
    raise ConfigError([problem], str(source))


def _validated(data: dict[str, Any], given: dict[str, dict[str, Any]], problems: list[str], source: Path | None) -> Config:
    where = str(source) if source is not None else None
    problems = [*problems, *unknown_tables(data)]
    merged: dict[str, Any] = {name: table for name, table in data.items() if name in TABLES}
    for table, values in given.items():
        below = merged.get(table, {})
        merged[table] = {**below, **values} if isinstance(below, dict) else below
    problems += duplicates(merged)
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        problems += describe(error, given)
        # The sound tables still get the checks that look across tables, so that one run shows everything.
        unsound = {fault["loc"][0] for fault in error.errors()}
        if "defaults" not in unsound:
            sound = Config.model_validate({name: table for name, table in merged.items() if name not in unsound})
            problems += contradictions(sound)
        raise ConfigError(problems, where) from None
    problems += contradictions(config)
    if problems:
        raise ConfigError(problems, where)
    return config
