"""The router on a real store: every entry gets one owner, one dead letter, or comes back; never two owners, never lost."""

from __future__ import annotations

import json

import pytest

from dispatcher.core.models import Fate
from dispatcher.routing import Router
from dispatcher.store.inbox import Submission
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.store.opened import open_store
from tests.support.desk import TOML, Desk
from tests.support.gates import wait_until


def test_the_route_tells_queues_and_dead_letters(desk: Desk) -> None:
    """What Flower shows: completions per queue, and how many were dead or suppressed."""
    desk.submit(session_key="agent:ops:main")
    desk.submit(session_key="agent:ops:side")
    desk.submit(session_key="agent:ops:main", exit_code=0)
    desk.submit(session_key="nowhere")
    router = desk.router()
    queue = router.resolve("agent:ops:main").queue
    assert router.drain_inbox() == {queue: 2, "suppressed": 1, "dead": 1}
    assert router.drain_inbox() == {}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "missing-key"),
        ("   ", "missing-key"),
        ("node-x", "unbound-key"),
        ("global", "unbound-key"),
        ("main", "unbound-key"),
        ("agent::x", "malformed-key"),
        ("agent:ops", "malformed-key"),
        ("agent:nobody:main", "unknown-agent"),
    ],
)
def test_a_key_without_an_owner_is_a_dead_letter_with_its_reason(desk: Desk, key: str, reason: str) -> None:
    """And rings nobody."""
    completion_id = desk.submit(session_key=key)
    desk.router().drain_inbox()
    assert desk.dead() == {completion_id: reason}
    assert desk.bells.rung == []


def test_an_explicit_agent_that_disagrees_with_the_key_wins_nothing(desk: Desk) -> None:
    """owner-mismatch: never a silent winner."""
    completion_id = desk.submit(session_key="agent:ops:main", agent_id="research")
    desk.router().drain_inbox()
    assert desk.dead() == {completion_id: "owner-mismatch"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("not json", "invalid-completion"),
        ('{"session_key": "agent:ops:main"}', "invalid-completion"),
        ('{"completion_id": "c", "session_key": ["agent:ops:main", "agent:research:main"]}', "malformed-key"),
        (json.dumps({"completion_id": "c", "session_key": "k" * 10_000}), "too-large"),
        (json.dumps({"completion_id": "c", "session_key": "agent:ops:main\x1b[2J"}), "malformed-key"),
    ],
)
def test_an_entry_that_nobody_can_read_stops_nobody_else(desk: Desk, body: str, reason: str) -> None:
    """It becomes a dead letter, and those around it are routed."""
    first = desk.submit(session_key="agent:ops:main")
    desk.store.inbox.submit(Submission("c", "digest", body))
    last = desk.submit(session_key="agent:ops:main")
    desk.router().drain_inbox()
    assert desk.dead() == {"c": reason}
    assert desk.fate(first) == desk.fate(last) == (Fate.PENDING, "ops")


def test_what_the_producer_says_travels_with_its_wake(desk: Desk) -> None:
    """Key as given, trace, and the unknown fields of a newer producer harm nobody."""
    desk.submit(session_key="AGENT:Ops:main", trace={"traceparent": "00-a"}, priority_of_a_later_release=7)
    desk.router().drain_inbox()
    wait_until(lambda: isinstance(desk.store.mailbox.acquire("ops", "agents", "h", "n"), Leased), 90, "the window to pass")
    acquired = desk.store.mailbox.acquire("ops", "agents", "h", "n")
    assert isinstance(acquired, Leased)
    begun = desk.store.mailbox.begin(acquired.lease, "agent:ops:main", ("event",), 10, 1000)
    assert isinstance(begun, Begun)
    (wake,) = begun.batch.wakes
    assert (wake.key, wake.trace) == ("AGENT:Ops:main", {"traceparent": "00-a"})


def test_a_subagent_completion_rides_and_rings_nobody(desk: Desk) -> None:
    """It is pending, for the next wake of its session."""
    rider = desk.submit(session_key="agent:ops:subagent:helper")
    desk.router().drain_inbox()
    assert desk.fate(rider) == (Fate.PENDING, "ops")
    agent = desk.store.ledger.agent("ops")
    assert agent
    assert agent.due_at_ms
    assert agent.due_at_ms > desk.store.ledger.now_ms() + 60_000
    assert desk.bells.rung == []


def test_only_an_urgent_or_unwindowed_wake_is_rung_by_the_router(desk: Desk) -> None:
    """Inside the window the sweep rings; with window 0 whoever deposits does, once."""
    desk.submit(session_key="agent:ops:main")
    desk.router().drain_inbox()
    assert desk.bells.rung == []
    for _ in range(3):
        desk.submit(session_key="agent:lab-1:main")
    desk.router(TOML + "[defaults]\nwindow_ms = 0\n").drain_inbox()
    assert desk.bells.rung == [("lab-1", "agents")]


def test_a_changed_configuration_moves_the_agent_at_its_next_deposit(desk: Desk) -> None:
    """With everything that waits."""
    desk.submit(session_key="agent:ops:main")
    desk.router().drain_inbox()
    moved = TOML + '[pools.solo]\nagents = ["ops"]\npartitions = 1\n'
    desk.submit(session_key="agent:ops:main")
    assert desk.router(moved).drain_inbox() == {"wake.solo.00": 1}
    assert desk.store.ledger.home_of("ops") == ("solo", "solo")
    agent = desk.store.ledger.agent("ops")
    assert agent
    assert (agent.pool, agent.pending) == ("solo", 2)


def test_an_operators_move_holds_against_the_configuration_it_knew(desk: Desk) -> None:
    """Routers follow it without a restart."""
    router = desk.router()
    desk.submit(session_key="agent:ops:main")
    router.drain_inbox()
    assert desk.store.mailbox.move("ops", "agents", "ops", "agents") == "MOVED"
    loud, quiet = desk.submit(session_key="agent:ops:main"), desk.submit(session_key="agent:ops:main", exit_code=0)
    assert router.drain_inbox() == {"wake.ops.00": 1, "suppressed": 1}
    assert desk.fate(loud) == (Fate.PENDING, "ops")
    assert desk.fate(quiet) == (Fate.SUPPRESSED, "ops")


def test_a_full_mailbox_sets_aside_and_loses_nothing(desk: Desk) -> None:
    """mailbox-full: accepted, visible, revivable."""
    first, second = desk.submit(session_key="agent:ops:main"), desk.submit(session_key="agent:ops:main")
    config = desk.configured(TOML + "[bounds]\nmax_mailbox = 1\n")
    store = open_store(config, desk.url)
    assert Router(store, config, desk.bells).drain_inbox()["dead"] == 1
    assert desk.dead() == {second: "mailbox-full"}
    assert desk.fate(first) == (Fate.PENDING, "ops")
    assert store.mailbox.revive("ops", "agents", second).status == "REVIVED"
    assert desk.fate(second) == (Fate.PENDING, "ops")
    store.close()


def test_full_dead_letters_keep_entries_in_the_inbox(desk: Desk) -> None:
    """Nothing is evicted; routers stop acknowledging."""
    config = desk.configured(TOML + "[bounds]\nmax_dead = 1\n")
    store = open_store(config, desk.url)
    desk.submit(session_key="x")
    desk.submit(session_key="y")
    assert Router(store, config, desk.bells).drain_inbox() == {"dead": 1}
    assert desk.store.ledger.inbox_depth() == 1
    store.close()
