"""docker-compose.yml and Dockerfile as values: what an engine would make of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ruamel.yaml import YAML

from tests.support.sources import ROOT

COMPOSE_FILE = ROOT / "docker-compose.yml"
OWN_IMAGE = "wake-dispatcher:local"
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:[-?])([^}]*))?\})")
_UNITS_S = {"s": 1.0, "m": 60.0}


class Unset(Exception):
    """A variable that has to be set is not."""


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """`${NAME}`, `${NAME:-default}`, `${NAME:?why}` and `$$` as the engine replaces them. Raises Unset."""
    if isinstance(value, dict):
        return {name: interpolated(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, variables) for inner in value]
    return _VARIABLE.sub(lambda found: _replacement(found, variables), value) if isinstance(value, str) else value


def _replacement(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, word = found.groups()
    if name is None:
        return "$"
    if variables.get(name):
        return variables[name]
    if kind == ":-":
        return str(word)
    raise Unset(f"{name}: {word}")


def written() -> dict[str, Any]:
    """The file with its anchors put in, variables as they are written."""
    document: dict[str, Any] = YAML(typ="safe").load(COMPOSE_FILE)
    return document


def seconds(duration: str) -> float:
    return float(duration[:-1]) * _UNITS_S[duration[-1]]


@cache
def instructions() -> tuple[tuple[str, str], ...]:
    """(INSTRUCTION, rest) of the Dockerfile; continued lines are joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return tuple((word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines))


def final_stage() -> dict[str, list[str]]:
    """Instruction -> what it says, of the stage that runs."""
    start = max(i for i, (word, _) in enumerate(instructions()) if word == "FROM")
    found: dict[str, list[str]] = {}
    for word, rest in instructions()[start:]:
        found.setdefault(word, []).append(rest)
    return found


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for line in final_stage()["ENV"] for word in shlex.split(line))


@dataclass(frozen=True)
class Service:
    """One service as the engine runs it."""

    name: str
    replicas: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    probe: tuple[str, ...]
    stop_grace_s: float


def service(name: str, variables: Mapping[str, str]) -> Service:
    """The service with its variables put in. Raises Unset."""
    said = interpolated(written()["services"][name], variables)
    own = said.get("image") == OWN_IMAGE
    entrypoint = said.get("entrypoint", json.loads(final_stage()["ENTRYPOINT"][0]) if own else [])
    kind, *words = said["healthcheck"]["test"]
    assert kind in ("CMD", "CMD-SHELL")
    return Service(
        name,
        said.get("deploy", {}).get("replicas", 1),
        (*entrypoint, *said["command"]),
        (image_environment() if own else {}) | said["environment"],
        tuple(words) if kind == "CMD" else ("/bin/sh", "-c", *words),
        seconds(said["stop_grace_period"]),
    )
