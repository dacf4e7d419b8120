"""What the store still knows of the past: who got which completion when, and the ledger lines of all agents. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dispatcher.store.connect import unavailable
from dispatcher.store.opened import Store

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One accepted completion that has an owner. `stage` is its fate there, `batch_id` that of its last heartbeat; empty when forgotten."""

    completion_id: str
    at_ms: int
    agent_id: str
    stage: str
    batch_id: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One line of the ledger: what was done to an agent, and when. Not the `Receipt` that a submit answers."""

    agent_id: str
    what: str
    at_ms: int
    batch_id: str
    detail: dict[str, Any]


def seen_since(store: Store, since_ms: int) -> list[Seen]:
    """Completions that were accepted since then, as far back as ids are kept."""
    found: list[tuple[str, int, str]] = []
    with unavailable("read accepted completions"):
        for completion_id, raw in store.client.hscan_iter(store.keys.inbox["seen"], count=PAGE):
            _, at, _, _, state, agent_id, _ = raw.split("|")
            if int(at) >= since_ms and state == "routed":
                found.append((completion_id, int(at), agent_id))
    return [one for start in range(0, len(found), PAGE) for one in _with_fates(store, found[start : start + PAGE])]


def _with_fates(store: Store, page: list[tuple[str, int, str]]) -> Iterator[Seen]:
    homes = dict(zip(names := sorted({agent_id for _, _, agent_id in page}), store.ledger.homes_of(names), strict=True))
    pipe = store.client.pipeline(transaction=False)
    for completion_id, _, agent_id in page:
        home = homes[agent_id]
        pipe.hget(store.keys.agent(home[0] if home else "", agent_id)["fates"], completion_id)
    with unavailable("read fates"):
        fates = pipe.execute()
    for (completion_id, at_ms, agent_id), fate in zip(page, fates, strict=True):
        stage, _, _, _, detail = fate.split("|", 4) if fate else ("", "", "", "", "")
        yield Seen(completion_id, at_ms, agent_id, stage, detail.partition("|")[0])


def ledger_lines(store: Store, since_ms: int) -> list[LedgerLine]:
    """The lines of all pools since then, in time order, as far back as they are kept."""
    found: list[LedgerLine] = []
    for slot, pool in store.ledger.pools():
        with unavailable(f"read receipts of pool={pool}"):
            entries = store.client.xrange(store.keys.pool(slot, pool)["ledger"], min=since_ms)
        found += [LedgerLine(f["agent"], f["what"], int(f["at"]), f["batch"], _detail(f["detail"])) for _, f in entries]
    return sorted(found, key=lambda line: line.at_ms)


def _detail(raw: str) -> dict[str, Any]:
    value = json.loads(raw or "null")
    return value if isinstance(value, dict) else {}
