"""claim: an entry is one router's at a time and comes back when its router dies."""

from __future__ import annotations

import time

from tests.support.gates import wait_until
from tests.support.store import T0, Rig, entry_ids, submission

LONG_MS = 60_000


def test_claimed(rig: Rig) -> None:
    """CLAIMED: the oldest first, no more than asked for; with the server time before the read."""
    receipts = [rig.inbox.submit(submission(f"c{i}"), T0)[0] for i in range(3)]
    before = rig.ledger.now_ms()
    claimed = rig.inbox.claim("r1", 2)
    assert before <= claimed.read_at_ms <= rig.ledger.now_ms()
    assert [(e.entry, e.completion_id, e.revival, e.accepted_at_ms, e.deliveries) for e in claimed.entries] == [
        (receipts[i].entry_id, f"c{i}", 0, T0, 1) for i in range(2)
    ]


def test_an_empty_inbox(rig: Rig) -> None:
    claimed = rig.inbox.claim("r1", 10)
    assert claimed.entries == []


def test_two_routers_never_get_the_same_entry(rig: Rig) -> None:
    rig.inbox.submit_all([submission(f"c{i}") for i in range(10)], T0)
    taken = [entry_ids(rig.inbox.claim(router, 3)) for router in ("r1", "r2", "r1", "r3", "r2")]
    assert [len(t) for t in taken] == [3, 3, 3, 1, 0]
    assert sorted(name for names in taken for name in names) == [f"c{i}" for i in range(10)]


def test_a_silent_routers_entries_come_back_first_and_are_counted(rig: Rig) -> None:
    rig.inbox.submit_all([submission("c1"), submission("c2")], T0)
    rig.inbox.claim("dead", 2)
    rig.inbox.submit(submission("c3"), T0)
    assert entry_ids(rig.inbox.claim("r1", 10, idle_ms=600_000)) == ["c3"]
    wait_until(lambda: _idle_ms(rig) >= 20, 90, "the entries are idle")
    assert [(e.completion_id, e.deliveries) for e in rig.inbox.claim("r2", 2, idle_ms=20).entries] == [("c1", 2), ("c2", 2)]
    assert {e.completion_id: e.deliveries for e in rig.inbox.claim("r3", 10, idle_ms=0).entries} == {"c1": 3, "c2": 3, "c3": 2}


def test_idle_entries_do_not_crowd_out_more_than_the_limit(rig: Rig) -> None:
    rig.inbox.submit_all([submission(f"c{i}") for i in range(4)], T0)
    rig.inbox.claim("dead", 2)
    assert entry_ids(rig.inbox.claim("r1", 3, idle_ms=0)) == ["c0", "c1", "c2"]


def test_a_claim_allows_the_next_announcement(rig: Rig) -> None:
    assert rig.inbox.submit(submission("c1"), T0)[1] is True
    assert rig.inbox.submit(submission("c2"), T0)[1] is False
    rig.inbox.claim("r1", 10)
    assert rig.inbox.submit(submission("c3"), T0)[1] is True


def test_a_router_that_took_all_it_may_comes_again_unannounced(rig: Rig) -> None:
    rig.inbox.submit_all([submission("c1"), submission("c2")], T0)
    rig.inbox.claim("r1", 1)
    assert rig.inbox.submit(submission("c3"), T0)[1] is False


def test_a_router_that_stays_comes_again_unannounced_until_it_says_that_it_does_not(rig: Rig) -> None:
    assert rig.inbox.submit(submission("c1"), T0)[1] is True
    assert entry_ids(rig.inbox.claim("r1", 10, stay_ms=LONG_MS)) == ["c1"]
    assert rig.inbox.submit(submission("c2"), T0)[1] is False
    assert entry_ids(rig.inbox.claim("r1", 10, stay_ms=LONG_MS)) == ["c2"]
    assert entry_ids(rig.inbox.claim("r1", 10, stay_ms=LONG_MS)) == []
    assert rig.inbox.submit(submission("c3"), T0)[1] is False
    assert entry_ids(rig.inbox.claim("r1", 10)) == ["c3"]
    assert rig.inbox.submit(submission("c4"), T0)[1] is True


def test_another_router_that_finds_nothing_does_not_say_that_nobody_stays(rig: Rig) -> None:
    rig.inbox.claim("stays", 10, stay_ms=LONG_MS)
    rig.inbox.claim("other", 10)
    assert rig.inbox.submit(submission("c1"), T0)[1] is False


def test_a_router_that_said_that_it_stays_and_died_is_believed_for_so_long(rig: Rig) -> None:
    rig.inbox.claim("dead", 10, stay_ms=1)
    wait_until(lambda: not rig.client.exists(rig.keys.inbox["announced"]), 90, "its stay is over")
    assert rig.inbox.submit(submission("c1"), T0)[1] is True


def test_a_wait_gives_what_comes_as_a_claim_does(rig: Rig) -> None:
    """Once: it is this router's alone from then on, and comes back when that one dies."""
    before = rig.inbox.claim("r1", 10).read_at_ms
    receipts = [rig.inbox.submit(submission(f"c{n}"), T0)[0] for n in range(3)]
    came = rig.inbox.wait("r1", 2, LONG_MS)
    assert came
    assert before <= came.read_at_ms <= rig.ledger.now_ms()
    assert [(e.entry, e.completion_id, e.revival, e.accepted_at_ms, e.deliveries) for e in came.entries] == [
        (receipts[n].entry_id, f"c{n}", 0, T0, 1) for n in range(2)
    ]
    assert entry_ids(rig.inbox.claim("r2", 10)) == ["c2"]
    assert entry_ids(rig.inbox.claim("r2", 10, idle_ms=0)) == ["c0", "c1", "c2"]


def test_a_wait_for_nothing_ends(rig: Rig) -> None:
    came = rig.inbox.wait("r1", 10, 1)
    assert came
    assert came.entries == []


def test_a_wait_on_a_server_that_lost_its_data_is_no_wait(rig: Rig) -> None:
    rig.client.flushall()
    assert rig.inbox.wait("r1", 10, LONG_MS) is None


def test_an_announcement_expires_by_itself(rig: Rig) -> None:
    """The message that announced the inbox may be lost."""
    hasty = rig.limited(announce_ms=1)
    hasty.inbox.submit(submission("c1"), T0)
    wait_until(lambda: not rig.client.exists(rig.keys.inbox["announced"]), 90, "the announcement is over")
    assert hasty.inbox.submit(submission("c2"), T0)[1] is True


def test_a_foreign_entry_is_handed_out_and_not_stumbled_over(rig: Rig) -> None:
    """Whoever may write the stream may write anything; the router makes a dead letter of it."""
    rig.caller.books = False
    entry = rig.client.xadd(rig.keys.inbox["stream"], {"what": "ever"})
    (got,) = rig.inbox.claim("r1", 10).entries
    assert (got.entry, got.completion_id, got.revival, got.body) == (entry, entry, 0, "")


def test_preparing_twice_does_no_harm(rig: Rig) -> None:
    rig.inbox.submit(submission("c1"), T0)
    rig.inbox.claim("r1", 1)
    with rig.unchanged():
        rig.inbox.prepare()


def test_entries_from_before_the_group_are_in_it(rig: Rig) -> None:
    rig.client.xgroup_destroy(rig.keys.inbox["stream"], "routers")
    rig.inbox.submit(submission("c1"), int(time.time() * 1000))
    assert rig.ledger.balance().unrouted == 1
    rig.inbox.prepare()
    assert entry_ids(rig.inbox.claim("r1", 10)) == ["c1"]


def _idle_ms(rig: Rig) -> int:
    pending = rig.client.xpending_range(rig.keys.inbox["stream"], "routers", "-", "+", 10, "dead")
    return min(int(p["time_since_delivered"]) for p in pending)
