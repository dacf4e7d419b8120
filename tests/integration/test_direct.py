"""The caller of a simulation: what goes ahead of a call goes in the same round trip, and is answered first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.config import parsed
from dispatcher.core.errors import ScriptContractError
from dispatcher.core.snapshot import Tick
from dispatcher.simulate.world import private_server, private_store, simulated
from dispatcher.store.cadences import TickChange
from dispatcher.store.direct import DirectCaller
from dispatcher.store.mailbox import NotLeased
from dispatcher.store.opened import Store
from dispatcher.store.scripts import Reply
from dispatcher.store.sweeping import Sweeping

POOL, NOW_MS = "agents", 1_800_000_000_000
Desk = tuple[Store, DirectCaller]


@pytest.fixture
def desk() -> Iterator[Desk]:
    config = simulated(parsed({}, Path("none")), everybody=True)
    with private_server() as url, private_store(config, url, [POOL]) as (store, caller):
        store.stand_at(NOW_MS)
        yield store, caller


def test_what_goes_ahead_is_answered_before_the_call_returns(desk: Desk) -> None:
    store, caller = desk
    sweeping, heard = Sweeping(store, [POOL]), list[Reply]()
    sweeping.now_ms = NOW_MS
    caller.call_ahead(sweeping.sweeps(sweeping.slots, 10, ()), heard.extend)
    assert heard == []
    assert store.mailbox.acquire("ops", POOL, "h", "n") == NotLeased("EMPTY")
    assert [reply.status for reply in heard] == ["SWEPT"]
    store.mailbox.acquire("ops", POOL, "h", "n")
    assert len(heard) == 1, "it goes once"


def test_only_one_thing_goes_ahead(desk: Desk) -> None:
    store, caller = desk
    calls = Sweeping(store, [POOL]).sweeps([(0, POOL)], 10, ())
    caller.call_ahead(calls, lambda _: None)
    with pytest.raises(ScriptContractError, match="goes ahead already"):
        caller.call_ahead(calls, lambda _: None)


def test_each_round_trip_brings_who_is_due_first(desk: Desk) -> None:
    store, caller = desk
    assert (caller.heads, caller.earliest) == ([None], None)
    store.cadences.change_all(POOL, [TickChange(agent, None, Tick(NOW_MS + ms, "x")) for agent, ms in (("ops", 9), ("lab", 7))])
    assert (caller.heads, caller.earliest) == ([("lab", NOW_MS + 7)], NOW_MS + 7)
