"""Holds the ledger of a real run against the reference model: `python -m tests.seeds.trace [--config wake.toml]`.

Each receipt must be a step that the model allows after those before it. A ledger is bounded; of one that has forgotten its beginning, what
a batch did before its first receipt is taken as it is. Exit code 1 if a step is not allowed; each agent's first one is told.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dispatcher.config import load
from dispatcher.embedded import server_url
from dispatcher.store.opened import Store, open_store
from tests.seeds.reference import Frozen, NotAllowed, Turns

PARKED = frozenset({"failed", "handed-back", "cancelled"})
CLOSED = frozenset({"ran", "skipped", "dead-lettered"})
BESIDE = frozenset(
    {"held", "resumed", "revived", "dropped", "ticked", "deferred", "mended", "reclaimed", "cancel-asked"}
)  # they begin and end no batch


@dataclass
class Traced:
    """What a replay found: receipts by word, and for each agent the first that the model does not allow."""

    words: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)


def replay(lines: Iterable[Mapping[str, Any]], *, whole: bool = True) -> Traced:
    """Receipts of many agents, each agent's in their order. `whole`: the ledger holds all there ever were."""
    traced, turns = Traced(), dict[str, Turns]()
    for line in lines:
        agent, what = str(line["agent"]), str(line["what"])
        traced.words[what] += 1
        if agent in traced.refused:
            continue
        try:
            _follow(turns.setdefault(agent, Turns()), line, whole)
        except NotAllowed as error:
            traced.refused[agent] = f"{what} at {line['at']}: {error}"
    return traced


def _follow(turns: Turns, line: Mapping[str, Any], whole: bool) -> None:
    what, batch, detail = str(line["what"]), str(line["batch"]), json.loads(line["detail"] or "null") or {}
    token = int(line["token"] or 0)
    if not whole and batch not in turns.batches and batch not in turns.ended and batch and what != "begun":
        return  # its begin is forgotten
    if what == "begun":
        if not whole and batch not in turns.batches and detail["attempt"] > 1:
            turns.batches[batch] = Frozen(detail["n"], detail["session"], detail["attempt"] - 1)
        turns.begun(batch, token, detail["n"], detail["session"], detail["attempt"])
    elif what == "taken-over":
        turns.taken_over(batch, token)
    elif what in CLOSED:
        turns.counted(batch, detail.get("n"))
        turns.closed(batch, token, what)
    elif what == "busy":
        _busy(turns, batch, token, detail)
    elif what in PARKED:
        turns.parked(batch, token, what)
    elif what not in BESIDE:
        raise NotAllowed(f"no receipt is called {what!r}")
    elif what in ("deferred", "ticked"):
        turns.idle(token, what)
    elif what in ("reclaimed", "cancel-asked") and batch:
        turns.under(token, what)


def _busy(turns: Turns, batch: str, token: int, detail: Mapping[str, Any]) -> None:
    """A first attempt dissolves, a later one is parked; only the latter says how long it waits."""
    if "delay_ms" in detail:
        turns.parked(batch, token, "busy")
    else:
        turns.closed(batch, token, "dissolved")


def lines_of(store: Store) -> list[dict[str, str]]:
    """All receipts of a store, slot by slot; those of one agent in their order, if it never moved."""
    return [dict(fields) for slot, pool in store.ledger.pools() for _, fields in store.client.xrange(store.keys.pool(slot, pool)["ledger"])]


def is_whole(store: Store) -> bool:
    """Whether no ledger of this store has forgotten a receipt."""
    streams = [store.keys.pool(slot, pool)["ledger"] for slot, pool in store.ledger.pools()]
    told = [store.client.xinfo_stream(stream) for stream in streams if store.client.exists(stream)]
    return all(one["entries-added"] == one["length"] for one in told)


def traced(store: Store) -> Traced:
    """The ledger of this store, held against the model. For a store at rest: what is written meanwhile may be read in part."""
    return replay(lines_of(store), whole=is_whole(store))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.seeds.trace", description=__doc__)
    parser.add_argument("--config", type=Path, help="wake.toml of the run")
    words = parser.parse_args()
    config = load(words.config)
    store = open_store(config, server_url(config))
    try:
        found = traced(store)
    finally:
        store.close()
    told = ", ".join(f"{what} {count}" for what, count in sorted(found.words.items()))
    print(f"{sum(found.words.values())} receipts ({told}): {len(found.refused)} agents have one that the model does not allow")
    for agent, why in found.refused.items():
        print(f"  {agent}: {why}", file=sys.stderr)
    return int(bool(found.refused))


if __name__ == "__main__":
    sys.exit(main())
