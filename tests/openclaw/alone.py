"""What a gateway does without this program, measured earlier: the column beside which the scenes are read.

Measured by hand on release 2026.9.6, on loopback, with a stand-in as its only model provider. No scene measures it again; whoever tries
another release measures these again too.
"""

from __future__ import annotations

from typing import NamedTuple

RELEASE = "2026.9.6"


class Alone(NamedTuple):
    """One fact about the gateway alone. `scene` is the name of the scene that is its counterpart; empty: there is none."""

    scene: str
    tried: str
    seen: str


MEASURED = (
    Alone("burst", "50 exec completions, one agent", "2 turns"),
    Alone("late", "a completion 35 to 40 s after a turn", "next cadence tick (30 min by default)"),
    Alone("worker_killed", "`kill -9` with wakes pending", "lost"),
    Alone("gateway_killed", "`kill -9` with wakes pending", "lost"),
    Alone("", "50 wakes at once, one agent", "1 turn, 20 of 50 texts"),
    Alone("", "first completion → model", "0.4 to 0.5 s"),
)
