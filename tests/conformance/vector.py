"""What a vector is, where the project's own copies lie, and how expectations are compared."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OWN_FILES = sorted((HERE / "vectors").glob("*.json"))
DIFFERENCES = HERE / "differences.toml"
MULTI_STEP_OPS = frozenset({"wake", "tick", "advance_to", "finish"})

Check = Callable[[Any], bool]


class Unsupported(Exception):
    """The vector asks for something that this runner does not know: always a failure, never a pass and never a declared difference."""


@dataclass(frozen=True)
class Vector:
    """One vector as it stands in its file."""

    area: str
    name: str
    given: Mapping[str, Any]
    when: tuple[Mapping[str, Any], ...]
    then: Mapping[str, Any]

    @property
    def ops(self) -> frozenset[str]:
        """The names of its steps."""
        return frozenset(str(step.get("op")) for step in self.when)

    @property
    def multi_step(self) -> bool:
        """Whether it needs a server and a virtual clock."""
        return bool(self.ops & MULTI_STEP_OPS)

    def only_step(self) -> Mapping[str, Any]:
        """Its one step, over what is given."""
        if len(self.when) != 1:
            raise Unsupported(f"{len(self.when)} steps where one is expected")
        return {**self.given, **self.when[0]}


def read(path: Path) -> list[Vector]:
    """The vectors of one file. Raises ValueError when it is not of their form."""
    entries = json.loads(path.read_text("utf-8"))
    if not isinstance(entries, list):
        raise ValueError("not a list of vectors")
    return [_vector(entry) for entry in entries]


def differences(path: Path = DIFFERENCES) -> dict[str, str]:
    """Reasons by vector name. Raises ValueError for an entry without a reason or a name that occurs twice."""
    entries = tomllib.loads(path.read_text("utf-8")).get("difference", [])
    reasons = {entry["name"]: entry["reason"] for entry in entries if entry.get("reason", "").strip()}
    if len(reasons) != len(entries):
        raise ValueError(f"{path.name}: each difference needs a name of its own and a reason")
    return reasons


def compare(then: Mapping[str, Any], checks: Mapping[str, Check], seen: object) -> list[str]:
    """The expectations that do not hold, as sentences; `checks` says for each known expectation whether its wanted value holds."""
    if not then:
        raise Unsupported("no expectation")
    unknown = sorted(set(then) - set(checks))
    if unknown:
        raise Unsupported(f"unknown expectation {', '.join(unknown)}")
    return [f"expected {name} {wanted!r}, saw {seen!r}" for name, wanted in then.items() if not checks[name](wanted)]


def equals(value: object) -> Check:
    """A check for exactly this value; true and 1 are not the same."""
    return lambda wanted: type(wanted) is type(value) and wanted == value


def _vector(entry: Any) -> Vector:
    if not isinstance(entry, dict) or set(entry) != {"area", "name", "given", "when", "then"}:
        raise ValueError(f"not a vector: {str(entry)[:80]}")
    if not isinstance(entry["when"], list) or not entry["when"]:
        raise ValueError(f"no steps in vector {entry['name']!r}")
    return Vector(entry["area"], entry["name"], entry["given"], tuple(entry["when"]), entry["then"])
