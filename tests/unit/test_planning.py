"""The arithmetic of docs/growing.md, and that the page says what the figures say."""

from __future__ import annotations

import json
import re
from math import isclose

import pytest

from bench.planning import RESULTS, Load, need, table, units
from tests.support.sources import ROOT

COSTS = {
    "accepting_server_us": 100.0,
    "routing_server_us": 100.0,
    "routing_router_us": 200.0,
    "beating_server_us": 1_000.0,
    "beating_worker_us": 5_000.0,
    "renewing_server_us": 50.0,
    "idle_server_percent": 1.0,
    "another_worker_server_percent": 0.5,
    "settled_bytes": 1_000.0,
    "idle_agent_bytes": 200.0,
    "worker_mib": 100.0,
}
BUSY = Load(completions_per_hour=3_600, completions_per_heartbeat=2, heartbeat_s=10, places_per_worker=10)


def test_places_are_heartbeats_a_second_times_how_long_they_last() -> None:
    found = need(10, COSTS, BUSY)
    assert (found.completions_per_s, found.running) == (10.0, 50.0)
    assert found.workers == 10, "fifty places, half full, ten to a worker"
    assert found.workers_mib == 1_000


def test_the_servers_core_is_completions_heartbeats_renewals_and_workers_that_ask() -> None:
    found = need(10, COSTS, BUSY)
    assert isclose(found.server_cores, 10 * 200e-6 + 5 * 1e-3 + 50 / 5 * 50e-6 + (1.0 + 9 * 0.5) / 100)
    assert found.stores == 1


def test_beyond_half_a_core_it_takes_another_store_and_routers_are_counted_alike() -> None:
    found = need(4_000, COSTS, Load(completions_per_hour=3_600, completions_per_heartbeat=1_000, heartbeat_s=1, places_per_worker=1_000))
    assert (found.stores, found.routers) == (2, 2)


def test_short_heartbeats_need_workers_by_their_cpu() -> None:
    found = need(1_000, COSTS, Load(completions_per_hour=3_600, completions_per_heartbeat=1, heartbeat_s=0.001, places_per_worker=32))
    assert found.workers == 10


@pytest.mark.parametrize(("name", "made"), [("units", units), ("table", table)])
def test_the_page_says_what_was_measured(name: str, made: object) -> None:
    assert callable(made)
    said = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", (ROOT / "docs" / "growing.md").read_text("utf-8"), re.DOTALL)
    assert said
    assert said[1] == made(json.loads(RESULTS.read_text("utf-8")))
