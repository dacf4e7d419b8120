"""What is in force and who said so: the default, the file, or a variable. Nothing that may be a secret is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, SecretStr

from dispatcher.config.agents import AgentPolicy
from dispatcher.config.environment import overrides, variable_of
from dispatcher.config.model import NAMED_TABLES, Config
from dispatcher.config.problems import dotted
from dispatcher.config.selectors import is_pattern, matching
from dispatcher.config.server_url import MASK, ServerUrl
from dispatcher.core.session_key import fold_agent_id

Origin = Literal["default", "file", "environment"]


@dataclass(frozen=True)
class Setting:
    """One key and its effective value, as JSON has it. `where` is the table of the file, or the variable, that decided."""

    key: str
    value: Any
    origin: Origin
    where: str | None = None


def settings(config: Config, env: Mapping[str, str]) -> list[Setting]:
    """Every setting of every table. Of [agents] only what the file names; the rest of an agent comes from [defaults]."""
    found: list[Setting] = []
    given = overrides(env)[0]
    for table in (name for name in type(config).model_fields if name not in NAMED_TABLES):
        section = getattr(config, table)
        found += [_setting(section, (table,), key, given) for key in type(section).model_fields]
    for selector, policy in config.agents.items():
        found += [_setting(policy, ("agents", selector), key, given) for key in policy.model_fields_set]
    for name, pool in config.pools.items():
        found += [_setting(pool, ("pools", name), key, given) for key in type(pool).model_fields]
    return found


def agent_settings(config: Config, agent_id: str, env: Mapping[str, str]) -> list[Setting]:
    """The policy of one agent, each key with the table or variable that decided it, and its pool. Raises InvalidAddress."""
    agent_id = fold_agent_id(agent_id)
    given = overrides(env)[0].get("defaults", {})
    layers = [*matching((selector for selector in config.agents if is_pattern(selector)), agent_id)]
    layers += [agent_id] if agent_id in config.agents else []
    policy = config.agent(agent_id)
    return [_decided(config, policy, key, layers, given) for key in AgentPolicy.model_fields] + [_pool(config, agent_id)]


def _decided(config: Config, policy: AgentPolicy, key: str, layers: list[str], given: Mapping[str, Any]) -> Setting:
    value = _shown(key, getattr(policy, key))
    for selector in reversed(layers):
        if key in config.agents[selector].model_fields_set:
            return Setting(key, value, "file", f"[{dotted(('agents', selector))}]")
    if key in given:
        return Setting(key, value, "environment", variable_of("defaults", key))
    if key in config.defaults.model_fields_set:
        return Setting(key, value, "file", "[defaults]")
    return Setting(key, value, "default")


def _pool(config: Config, agent_id: str) -> Setting:
    name = config.pool_of(agent_id)
    by_file = any(matching(pool.agents, agent_id) for pool in config.pools.values())
    return Setting("pool", name, "file" if by_file else "default", f"[{dotted(('pools', name))}]" if by_file else None)


def _setting(section: BaseModel, path: tuple[str, ...], key: str, given: Mapping[str, Mapping[str, Any]]) -> Setting:
    name, value = dotted((*path, key)), _shown(key, getattr(section, key))
    if len(path) == 1 and key in given.get(path[0], {}):
        return Setting(name, value, "environment", variable_of(path[0], key))
    if key in section.model_fields_set:
        return Setting(name, value, "file", f"[{dotted(path)}]")
    return Setting(name, value, "default")


def _shown(key: str, value: Any) -> Any:
    if key == "url" and value is not None:
        return ServerUrl.parse(value).masked()
    if isinstance(value, SecretStr):
        return MASK
    if not isinstance(value, BaseModel):
        return value
    return dict(_without_secrets(value.model_dump(mode="json")))


def _without_secrets(runner: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Variables hold keys of models' makers, and some services put theirs into a URL: names are shown, values are not."""
    for name, value in runner.items():
        match name:
            case "env":
                yield name, dict.fromkeys(value, MASK)
            case "secret" if value is not None:
                yield name, MASK
            case "url":
                yield name, value.partition("?")[0] + (f"?{MASK}" if "?" in value else "")
            case _:
                yield name, value
