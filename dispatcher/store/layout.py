"""The record that says how this store is laid out. A process that disagrees refuses to start."""

from __future__ import annotations

from typing import Any

from dispatcher.core.errors import LayoutMismatch
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys

LAYOUT = 1


def check_layout(client: Any, keys: Keys) -> None:
    """Writes the record of a new store, or compares. Raises LayoutMismatch when layout, slots or prefix differ."""
    mine = {"layout": str(LAYOUT), "slots": str(keys.slots), "prefix": keys.prefix}
    with unavailable("check store layout"):
        for name, value in mine.items():
            client.hsetnx(keys.layout, name, value)
        found = client.hgetall(keys.layout)
    wrong = [f"{name} is {found[name]} there and {value} here" for name, value in mine.items() if found[name] != value]
    if wrong:
        raise LayoutMismatch(
            f"store {keys.prefix!r}: {'; '.join(wrong)}. Set [redis] slots and prefix to what the store has, or use a new prefix"
        )
