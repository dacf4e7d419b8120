"""Whether everything that was accepted is accounted for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dispatcher.cli.output import document, say, table
from dispatcher.cli.reach import AsJson, ConfigFile, reach

if TYPE_CHECKING:
    from dispatcher.store.books import Balance

LIMIT_S = 2.0
PAUSE_S = 0.1


def register(app: typer.Typer) -> None:
    app.command()(audit)


def audit(
    deep: Annotated[bool, typer.Option("--deep", help="Also mailboxes against indexes, counters against what is kept.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check that every accepted completion is accounted for.

    accepted = unrouted + pending + running + settled + suppressed + dead + dropped. Exit code 1 when it is not so.
    The parts are not read at one moment, so it reads again until two readings agree, for at most 2 s.

    With --deep every agent is examined as well, as by `wake doctor`, which can mend what is found.

    \b
    Examples:
      wake audit --json
      wake audit --deep
    """
    from dispatcher.store.doctoring import Doctor

    store = reach(config).store
    found = agreed(store.ledger.balance)
    findings = list(Doctor(store, fix=False).findings(agreed)) if deep else []
    if as_json:
        document(asdict(found) | {"balance": found.balance} | ({"findings": [asdict(one) for one in findings]} if deep else {}))
    else:
        counts = asdict(found)
        table(("where", "completions"), counts.items())
        say(f"balance {found.balance}" + ("" if found.balance == 0 else ": completions are missing (or counted twice)"))
        if findings:
            table(("where", "what is wrong"), [(one.where, one.what) for one in findings])
        if deep:
            say(f"{len(findings)} contradictions" + ("; `wake doctor --fix` mends what can be" if findings else ""))
    if found.balance != 0 or findings:
        raise typer.Exit(1)


def agreed(read: Callable[[], Balance], limit_s: float = LIMIT_S, pause_s: float = PAUSE_S) -> Balance:
    """The second of two readings that agree: equal, or both balanced while work goes on. After `limit_s` the last reading."""
    until = time.monotonic() + limit_s
    before = read()
    while True:
        now = read()
        if now == before or now.balance == before.balance == 0 or time.monotonic() + pause_s > until:
            return now
        before = now
        time.sleep(pause_s)
