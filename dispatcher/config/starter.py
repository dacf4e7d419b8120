"""A wake.toml to begin with, made from the models: every setting with its description, range and default, none of them by heart."""

from __future__ import annotations

import json
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dispatcher.config.model import DEFAULT_POOL, NAMED_TABLES, TABLES, Config

WIDTH = 118
HEAD = """\
# Wake Dispatcher. A line that begins with "#" and no space is a setting with its default (or an example): remove the "#" to change it.
# `wake config check` finds every mistake, `wake config show` tells what is in force and where it comes from.
# WAKE_<TABLE>_<KEY> in the environment wins over this file, as in WAKE_REDIS_URL; of [agents] and [pools] nothing can be set there.
"""
NOTIFY = "# Set here so that every command wakes its agent. Without it, one that succeeds without a word (`sleep 1`) wakes nobody."
_BOUNDS = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def starter_toml(agents: Sequence[str], runner: Sequence[str], *, redis_url: str | None = None) -> str:
    """The text of a wake.toml with these agents and this command as the runner of all of them; `redis_url` None is the embedded server."""
    active: dict[tuple[str, str], Any] = {
        ("defaults", "runner"): {"type": "command", "command": list(runner)},
        ("defaults", "notify"): "always",
    }
    if redis_url is not None:
        active["redis", "url"] = redis_url
    examples: dict[tuple[str, str], Any] = {
        ("redis", "url"): "rediss://wake-router@127.0.0.1:6379/0",
        ("redis", "password"): "better in a file",
        ("redis", "password_file"): "secrets/wake-router",
        ("redis", "sentinel_password"): "better in a file",
        ("redis", "sentinel_password_file"): "secrets/sentinel",
        ("redis", "ca_file"): "ca.pem",
        ("sweep", "young_server_ms"): 30_000,
        ("defaults", "active_hours"): {"start": "08:00", "end": "22:00", "timezone": "Europe/Berlin"},
        ("defaults", "precheck"): {"type": "command", "command": ["./precheck.sh"]},
        ("http", "uds"): ".wake/http.sock",
        ("routing", "default_agent"): agents[0],
        ("routing", "bindings"): {"node-lab": agents[0]},
    }
    lines = [HEAD, *_table("defaults", TABLES["defaults"], active, examples), *_agents(agents)]
    for name in Config.model_fields:
        if name not in (*NAMED_TABLES, "defaults"):
            lines += _table(name, TABLES[name], active, examples)
    lines += _table(f"pools.{DEFAULT_POOL}", TABLES["pools"], active, examples)
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(
    name: str, model: type[BaseModel], active: Mapping[tuple[str, str], Any], examples: Mapping[tuple[str, str], Any]
) -> Iterator[str]:
    yield from _prose(_summary(model))
    yield f"[{name}]"
    for key, field in model.model_fields.items():
        yield from _prose(" ".join(filter(None, (field.description, _sentence(bounds_of(field)), _default(field)))))
        if (name, key) in active:
            if key == "notify":
                yield NOTIFY
            yield f"{key} = {toml(active[name, key])}"
        else:
            yield f"#{key} = {toml(examples.get((name, key), field.default))}"
    yield ""


def _agents(agents: Sequence[str]) -> Iterator[str]:
    yield '# [agents.ID] or [agents."lab-*"]: who is there, and what differs from [defaults]; any key of that table.'
    for agent in agents:
        yield f"[agents.{agent}]"
    yield "#min_spacing_ms = 0"
    yield ""


def toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(key) if not key.isidentifier() else key} = {toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    # JSON's strings and numbers are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False)


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def bounds_of(field: FieldInfo) -> str:
    """What a value may be, in words: `at least 1, at most 10`; empty where its type says all."""
    words = []
    for rule in field.metadata:
        words += [form.format(getattr(rule, name)) for name, form in _BOUNDS.items() if getattr(rule, name, None) is not None]
    choices = next((get_args(part) for part in _parts(field.annotation) if get_origin(part) is Literal), ())
    return ", ".join([*words, *([" or ".join(toml(choice) for choice in choices)] if choices else [])])


def default_of(field: FieldInfo) -> str:
    """As TOML writes it; empty where it is unset."""
    return "" if field.default is None else toml(field.default)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _default(field: FieldInfo) -> str:
    return f"Default: {default_of(field)}." if default_of(field) else "Unset by default."


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
