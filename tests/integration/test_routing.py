"""The router on a real store: every entry gets one owner, one dead letter, or comes back; never two owners, never lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dispatcher.config import Config, load
from dispatcher.core.models import Fate
from dispatcher.routing import Router
from dispatcher.store.inbox import Submission
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.store.opened import Store, open_store
from dispatcher.submit import completion_of, submission_of
from tests.support.gates import wait_until
from tests.support.server import Server
from workers.router_loop import RouterLoop

TOML = """
[agents.ops]
[agents.research]
[agents."lab-*"]
[routing.bindings]
"node-mac" = "research"
"""


class Bells:
    """Notes who was rung."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        before = len(self.rung)
        self.rung += agents
        return len(self.rung) - before


class Desk:
    """One store with routers on it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.config = self.configured(TOML)
        self.store: Store = open_store(self.config, url)
        self.store.inbox.prepare()
        self.bells = Bells()

    def configured(self, text: str) -> Config:
        path = self.folder / "wake.toml"
        path.write_text(text)
        return load(path, {})

    def router(self, text: str = TOML) -> Router:
        """A router of its own process, as far as the store can tell."""
        router = Router(self.store, self.configured(text), self.bells)
        router.consumer = f"{router.consumer}-{id(router)}"
        return router

    def submit(self, **words: Any) -> str:
        completion = completion_of({"exit_code": 1} | words)
        self.store.inbox.submit(submission_of(completion))
        return completion.completion_id

    def fate(self, completion_id: str) -> tuple[str, str | None]:
        where = self.store.ledger.where(completion_id)
        assert where
        return where.fate, where.agent_id

    def balanced(self) -> None:
        assert self.store.ledger.balance().balance == 0

    def dead(self) -> dict[str, str]:
        return {letter.completion_id: letter.reason for letter in self.store.ledger.dead_letters()}


@pytest.fixture
def desk(redis_client: redis.Redis, server: Server, tmp_path: Path) -> Iterator[Desk]:
    assert redis_client.dbsize() == 0
    desk = Desk(tmp_path, server.url)
    yield desk
    desk.balanced()
    desk.store.close()


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
    wait_until(lambda: isinstance(desk.store.mailbox.acquire("ops", "agents", "h", "n"), Leased), 10, "the window to pass")
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


def test_a_router_that_died_after_the_deposit_does_no_harm(desk: Desk) -> None:
    """The next one is answered DUPLICATE, and acknowledges."""
    completion_id = desk.submit(session_key="agent:ops:main")
    first = desk.router()
    claimed = desk.store.inbox.claim(first.consumer, 10)
    routed = first._own_all(claimed, done := Counter[str]())
    desk.store.mailbox.deposit_all([item.deposit for item in routed])
    assert done == {}
    desk.balanced()
    second = desk.router()
    again = desk.store.inbox.claim(second.consumer, 10, idle_ms=0)
    assert [e.deliveries for e in again.entries] == [2]
    second._deliver(second._own_all(again, done), done)
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")
    assert desk.store.ledger.inbox_depth() == 0


def test_a_binding_that_changes_between_deposit_and_acknowledge_wakes_no_second_agent(desk: Desk) -> None:
    """The owner is pinned before the deposit; a take-over uses the pin."""
    completion_id = desk.submit(session_key="node-mac")
    first, second = desk.router(), desk.router()
    done: Counter[str] = Counter()
    routed = first._own_all(desk.store.inbox.claim(first.consumer, 10), done)
    desk.store.mailbox.deposit_all([item.deposit for item in routed])
    desk.store.bindings.bind("node-mac", "ops")
    second._deliver(second._own_all(desk.store.inbox.claim(second.consumer, 10, idle_ms=0), done), done)
    assert desk.fate(completion_id) == (Fate.PENDING, "research")
    assert desk.store.ledger.agent("ops") is None


def test_a_deposited_entry_is_no_dead_letter_for_a_router_that_knows_the_agent_no_more(desk: Desk) -> None:
    """Two routers with different configurations: whoever deposited first decided."""
    completion_id = desk.submit(session_key="agent:ops:main")
    done: Counter[str] = Counter()
    first, second = desk.router(), desk.router("[agents.research]\n")
    desk.store.mailbox.deposit_all([i.deposit for i in first._own_all(desk.store.inbox.claim(first.consumer, 10), done)])
    second._deliver(second._own_all(desk.store.inbox.claim(second.consumer, 10, idle_ms=0), done), done)
    assert desk.dead() == {}
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")


def test_a_bound_entry_that_was_deposited_is_never_set_aside_as_well(desk: Desk) -> None:
    """However often it was claimed since: its pin says with whom it lies."""
    completion_id = desk.submit(session_key="node-mac")
    first, second, done = desk.router(), desk.router(), Counter[str]()
    desk.store.mailbox.deposit_all([i.deposit for i in first._own_all(desk.store.inbox.claim(first.consumer, 10), done)])
    for attempt in range(5):
        desk.store.inbox.claim(f"dead-router-{attempt}", 10, idle_ms=0)
    second._deliver(second._own_all(desk.store.inbox.claim(second.consumer, 10, idle_ms=0), done), done)
    assert desk.dead() == {}
    assert desk.fate(completion_id) == (Fate.PENDING, "research")


def test_a_store_that_lost_its_data_is_prepared_again(desk: Desk) -> None:
    """A running router goes on."""
    router = desk.router()
    desk.store.client.flushall()
    completion_id = desk.submit(session_key="agent:ops:main")
    router.drain_inbox()
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")


def test_an_entry_that_was_claimed_too_often_is_set_aside(desk: Desk) -> None:
    """router-crash, after five claims without an answer."""
    completion_id = desk.submit(session_key="agent:ops:main")
    for attempt in range(5):
        desk.store.inbox.claim(f"dead-router-{attempt}", 10, idle_ms=0)
    router, done = desk.router(), Counter[str]()
    router._deliver(router._own_all(desk.store.inbox.claim(router.consumer, 10, idle_ms=0), done), done)
    assert desk.dead() == {completion_id: "router-crash"}


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


def test_finished_fates_are_forgotten_only_when_their_entry_is_certainly_gone(desk: Desk) -> None:
    """By count and age, and never while another router may still hold the entry."""
    first, last = (desk.submit(session_key="agent:ops:main", exit_code=0) for _ in range(2))
    config = desk.configured(TOML + "[bounds]\nledger_completions = 1\n[routing]\nclaim_idle_ms = 500\n")
    store = open_store(config, desk.url)
    router = Router(store, config, desk.bells)
    router.drain_inbox()
    loop = RouterLoop(store, config, router)
    assert loop.trim_once() == 0
    wait_until(lambda: loop.trim_once() == 1, 10, "the hold time to pass")
    agent_keys = store.keys.agent("agents", "ops")
    assert store.client.hkeys(agent_keys["fates"]) == [last] != [first]
    store.close()
