"""Chains of heartbeats: what a heartbeat causes wakes an agent again, and a chain must not go on for ever unseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from dispatcher.core.models import Lineage, Wake

VARIABLE = "WAKE_LINEAGE"  # in the environment of a running heartbeat: <depth>:<agent>:<root>


class HasLineage(Protocol):
    """A completion, or a wake that somebody asks for."""

    @property
    def completion_id(self) -> str: ...
    @property
    def lineage(self) -> dict[str, Any] | None: ...


def lineage_of(completion: HasLineage) -> Lineage:
    """As its producer says it; one that says nothing usable begins a chain of its own."""
    try:
        return Lineage.model_validate(completion.lineage) if completion.lineage else Lineage(root=completion.completion_id)
    except ValidationError:
        return Lineage(root=completion.completion_id)


def deepest(wakes: Sequence[Wake]) -> Lineage | None:
    """The lineage of a heartbeat: that of its deepest member, the newer one on a tie."""
    known = [wake.lineage for wake in wakes if wake.lineage]
    return max(reversed(known), key=lambda lineage: lineage.depth, default=None)


def to_variable(agent_id: str, lineage: Lineage | None) -> str:
    """What a heartbeat of this agent hands down to the commands it starts; empty when nothing is known."""
    return f"{lineage.depth}:{agent_id}:{lineage.root}" if lineage else ""


def caused_by(variable: str) -> dict[str, object] | None:
    """The lineage of something that is started inside a heartbeat, as a completion carries it; None outside, or for a garbled one."""
    if not variable:
        return None
    depth, _, rest = variable.partition(":")
    agent_id, _, root = rest.partition(":")
    if not (depth.isascii() and depth.isdecimal() and len(depth) < 7 and agent_id and root):
        return None
    return {"root": root, "depth": int(depth) + 1, "agent_id": agent_id}
