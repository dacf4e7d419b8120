"""Routers that die, fall silent or disagree: an entry still gets one owner, and nothing is forgotten too early."""

from __future__ import annotations

from collections import Counter

from dispatcher.core.models import Fate
from dispatcher.routing import Router
from dispatcher.store.opened import open_store
from tests.support.desk import TOML, Desk
from tests.support.gates import wait_until
from tests.support.store import submission
from workers.router_loop import RouterLoop


def test_a_router_that_died_after_the_deposit_does_no_harm(desk: Desk) -> None:
    """The next one is answered DUPLICATE, and acknowledges."""
    completion_id = desk.submit(session_key="agent:ops:main")
    first = desk.router()
    desk.half_routed(first)
    assert desk.store.ledger.balance().balance == 0
    second = desk.router()
    desk.taken_over(second)
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")
    assert desk.store.ledger.inbox_depth() == 0


def test_a_binding_that_changes_between_deposit_and_acknowledge_wakes_no_second_agent(desk: Desk) -> None:
    """The owner is pinned before the deposit; a take-over uses the pin."""
    completion_id = desk.submit(session_key="node-mac")
    first, second = desk.router(), desk.router()
    desk.half_routed(first)
    desk.store.bindings.bind("node-mac", "ops")
    desk.taken_over(second)
    assert desk.fate(completion_id) == (Fate.PENDING, "research")
    assert desk.store.ledger.agent("ops") is None


def test_a_router_that_stays_routes_what_comes_meanwhile_and_nobody_need_tell_it(desk: Desk) -> None:
    """And whoever comes after it left is told to."""
    router = desk.router()
    late: list[bool] = []

    def one_more() -> None:
        if len(late) < 3:
            late.append(desk.store.inbox.submit(submission(f"late-{len(late)}"))[1])

    router.drain.on_page = one_more
    router.drain.leaving = lambda: len(late) == 3
    first, announce = desk.store.inbox.submit(submission("first"))
    assert announce
    done = router.drain_inbox(stay_s=60)
    assert (sum(done.values()), late) == (4, [False, False, False])
    assert desk.fate(first.completion_id) == (Fate.PENDING, "ops")
    assert desk.store.inbox.submit(submission("after"))[1]


def test_nobody_waits_for_a_router_that_stays_and_what_he_came_for_is_routed(desk: Desk) -> None:
    """Hints pile up while routers are away: each of them a stay, one after the other, would take hours."""
    router = desk.router()
    answers: list[dict[str, int]] = []

    def hint() -> None:
        if not answers:
            answers.append(router.drain_inbox(stay_s=60))
            desk.submit(session_key="agent:ops:main")

    router.drain.on_page = hint
    router.drain.leaving = lambda: bool(answers)
    desk.submit(session_key="agent:ops:main")
    done = router.drain_inbox(stay_s=60)
    assert (answers, sum(done.values())) == ([{}], 2)


def test_what_comes_while_a_router_waits_is_routed_in_the_order_of_its_coming(desk: Desk) -> None:
    """Pages of many as well: the owners of one are found while the one before is delivered."""
    router = desk.router()
    said = [0]

    def more() -> None:
        if said[0] < 90:
            first, said[0] = said[0], said[0] + 30
            desk.store.inbox.submit_all([submission(f"c{n:02}") for n in range(first, first + 30)])

    router.drain.on_page = more
    router.drain.leaving = lambda: said[0] == 90 and desk.store.ledger.inbox_depth() == 0
    desk.store.inbox.submit(submission("first"))
    done = router.drain_inbox(limit=20, stay_s=60)
    assert sum(done.values()) == 91
    assert desk.store.ledger.inbox_depth() == 0
    agent = desk.store.keys.agent("agents", "ops")
    ids = [member.rpartition("\x1f")[2] for member in desk.store.client.zrange(agent["mailbox"], 0, -1)]
    assert ids == ["first", *(f"c{n:02}" for n in range(90))]


def test_a_router_that_stays_goes_on_with_a_server_that_lost_its_data(desk: Desk) -> None:
    router = desk.router()
    after: list[str] = []

    def lose() -> None:
        if not after:
            desk.store.client.flushall()
            after.append(desk.submit(session_key="agent:ops:main"))

    router.drain.on_page = lose
    router.drain.leaving = lambda: bool(after) and desk.store.ledger.inbox_depth() == 0
    desk.submit(session_key="agent:ops:main")
    assert sum(router.drain_inbox(stay_s=60).values()) == 2
    assert desk.fate(after[0]) == (Fate.PENDING, "ops")


def test_a_router_that_was_slow_does_not_change_whom_an_entry_was_pinned_to(desk: Desk) -> None:
    """It read the binding long ago, another one deposited since and died: whoever comes third finds the wake where it lies."""
    completion_id = desk.submit(session_key="node-mac")
    slow, fast, third = desk.router(), desk.router(), desk.router()
    (entry,) = desk.store.inbox.claim(slow.consumer, 10).entries
    desk.store.bindings.bind("node-mac", "ops")
    routed = fast.own_all(desk.store.inbox.claim(fast.consumer, 10, idle_ms=0), Counter())
    desk.store.mailbox.deposit_all([item.deposit for item in routed])
    pinned = desk.store.inbox.pin({entry.entry: "research|agent:research:main"})
    assert pinned[entry.entry].startswith("ops|")
    desk.taken_over(third)
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")
    assert desk.store.ledger.agent("research") is None


def test_a_router_deposits_with_the_owner_that_is_pinned_whatever_it_found(desk: Desk) -> None:
    """Another router's pin came between its look at the pins and its own."""
    completion_id = desk.submit(session_key="node-mac")
    router = desk.router()
    claimed = desk.store.inbox.claim(router.consumer, 10)
    desk.store.inbox.pin({claimed.entries[0].entry: "ops|agent:ops:main"})
    done: Counter[str] = Counter()
    router.deliver(router.own_all(claimed, done), done)
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")
    assert desk.store.ledger.agent("research") is None


def test_a_deposited_entry_is_no_dead_letter_for_a_router_that_knows_the_agent_no_more(desk: Desk) -> None:
    """Two routers with different configurations: whoever deposited first decided."""
    completion_id = desk.submit(session_key="agent:ops:main")
    first, second = desk.router(), desk.router("[agents.research]\n")
    desk.half_routed(first)
    desk.taken_over(second)
    assert desk.dead() == {}
    assert desk.fate(completion_id) == (Fate.PENDING, "ops")


def test_a_bound_entry_that_was_deposited_is_never_set_aside_as_well(desk: Desk) -> None:
    """However often it was claimed since: its pin says with whom it lies."""
    completion_id = desk.submit(session_key="node-mac")
    first, second = desk.router(), desk.router()
    desk.half_routed(first)
    for attempt in range(5):
        desk.store.inbox.claim(f"dead-router-{attempt}", 10, idle_ms=0)
    desk.taken_over(second)
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
    router = desk.router()
    desk.taken_over(router)
    assert desk.dead() == {completion_id: "router-crash"}


def test_finished_fates_are_forgotten_only_when_their_entry_is_certainly_gone(desk: Desk) -> None:
    """By count and age, and never while another router may still hold the entry."""
    first, last = (desk.submit(session_key="agent:ops:main", exit_code=0) for _ in range(2))
    config = desk.configured(TOML + "[bounds]\nledger_completions = 1\n[routing]\nclaim_idle_ms = 5000\n")
    store = open_store(config, desk.url)
    router = Router(store, config, desk.bells)
    router.drain_inbox()
    loop = RouterLoop(store, config, router)
    assert loop.trim_once() == 0
    wait_until(lambda: loop.trim_once() == 1, 60, "the hold time to pass", every_s=0.5)
    agent_keys = store.keys.agent("agents", "ops")
    assert store.client.hkeys(agent_keys["fates"]) == [last] != [first]
    store.close()
