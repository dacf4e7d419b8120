"""The record that says how this store is laid out. A process that disagrees refuses to start."""

from __future__ import annotations

from typing import Any

from dispatcher.core.errors import LayoutMismatch
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys

LAYOUT = 1


def check_layout(client: Any, keys: Keys) -> None:
    """Writes the record of a new store, or compares. Raises LayoutMismatch when layout, slots or prefix differ."""
    with unavailable("check store layout"):
        for name, value in _record(keys).items():
            client.hsetnx(keys.layout, name, value)
    compare_layout(client, keys)


def compare_layout(client: Any, keys: Keys) -> None:
    """Only compares; a store that has no record yet agrees with everybody. Raises LayoutMismatch when layout, slots or prefix differ."""
    with unavailable("check store layout"):
        found = client.hgetall(keys.layout)
    mine = _record(keys)
    wrong = [f"{name} is {found[name]} there and {mine[name]} here" for name in mine if found.get(name, mine[name]) != mine[name]]
    if wrong:
        raise LayoutMismatch(
            f"store {keys.prefix!r}: {'; '.join(wrong)}. Set [redis] slots and prefix to what the store has, or use a new prefix"
        )


def _record(keys: Keys) -> dict[str, str]:
    return {"layout": str(LAYOUT), "slots": str(keys.slots), "prefix": keys.prefix}
