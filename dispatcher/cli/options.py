"""What cannot be told by an option's type: a duration within its bounds, a pool that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dispatcher.core.durations import duration_words, parse_duration_ms

if TYPE_CHECKING:
    from dispatcher.cli.reach import Reach

MAX_MS = 3_660 * 86_400_000  # ten years: what is added to a time stays a time that can be printed


def duration_ms(option: str, text: str, *, least_ms: int = 0, most_ms: int = MAX_MS, remedy: str = "") -> int:
    """Raises a usage error, with `remedy` behind it when the time is out of its bounds."""
    try:
        found = parse_duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if not least_ms <= found <= most_ms:
        bound = f"at least {duration_words(least_ms)}" if found < least_ms else f"at most {duration_words(most_ms)}"
        raise typer.BadParameter(f"{text[:40]!r} must be {bound}" + (f"; {remedy}" if remedy else ""), param_hint=option)
    return found


def known_pool(reached: Reach, name: str) -> str:
    """The same name. Raises a usage error for a pool that neither the configuration has nor the store holds agents of.

    The store too: `wake worker --agent ops` makes a pool that no file names. Asks the server only for those.
    """
    configured = reached.config.pool_names()
    if name not in configured:
        there = sorted({*configured, *(pool for _, pool in reached.store.ledger.pools())})
        if name not in there:
            raise typer.BadParameter(f"there is no pool {name[:80]!r}; there are {', '.join(there)}", param_hint="--pool")
    return name
