"""move: an agent changes its pool with everything it has, in one step."""

from __future__ import annotations

from dispatcher.store.mailbox import NotLeased
from tests.support.store import AGENT, HOUR_MS, MAIN, POOL, SIDE, T0, Rig, ids
from tests.support.store_state import snapshot

SOLO = "solo"


def move(rig: Rig, source: str = POOL, to: str = SOLO) -> str:
    return rig.mailbox.move(AGENT, source, to, to)


def test_moved(rig: Rig) -> None:
    """MOVED: waiting, parked, blocked, deferred, dead and final, all there and nothing here."""
    rig.buried("dead")
    rig.settle(*rig.running("final"))
    rig.parked("parked", delay_ms=60_000)
    rig.wake("waiting", session=SIDE, output="tail")
    rig.defer(rig.leased(), ("event", 30_000))
    before = {k: v for k, v in snapshot(rig.client).items() if f":{AGENT}:" in k}
    assert move(rig) == "MOVED"
    after = {k: v for k, v in snapshot(rig.client).items() if f":{AGENT}:" in k}
    assert after == {k.replace(f":{POOL}:", f":{SOLO}:"): v for k, v in before.items()}
    for name in ("due", "look", "bell", "deads", "trims", "leases"):
        assert not rig.client.exists(rig.key(name)), name
    assert rig.due_ms(SOLO) == T0 + 30_000
    assert rig.ledger.home_of(AGENT) == (SOLO, SOLO)
    assert rig.ledger.pools() == [(rig.keys.slot_of(AGENT), POOL), (rig.keys.slot_of(AGENT), SOLO)]
    assert rig.client.zscore(rig.key("trims", SOLO), AGENT) == T0
    assert [rig.fate(c) for c in ("dead", "final", "parked", "waiting")] == ["dead", "settled", "pending", "pending"]


def test_it_works_on_in_the_new_pool(rig: Rig) -> None:
    rig.wake("c1")
    move(rig)
    assert rig.wake("c2", pool=SOLO, configured=SOLO).status == "DEPOSITED"
    lease = rig.leased(pool=SOLO).lease
    batch = rig.begun(lease)
    assert ids(batch) == ["c1", "c2"]
    assert rig.settle(lease, batch).status == "SETTLED"
    assert rig.ledger.balance().settled == 2


def test_deposits_and_workers_are_told(rig: Rig) -> None:
    rig.wake("c1")
    entry = rig.submitted("c2")
    move(rig)
    with rig.unchanged():
        assert rig.put(entry) == ("MOVED", [SOLO, SOLO])
        assert rig.acquire() == NotLeased("FOREIGN", SOLO)


def test_a_duplicate_is_one_after_the_move(rig: Rig) -> None:
    """The marker went along."""
    entry = rig.submitted("c1")
    rig.put(entry)
    move(rig)
    with rig.unchanged():
        assert rig.put(entry, pool=SOLO, configured=SOLO) == ("DUPLICATE", ["pending"])


def test_an_announcement_does_not_go_along(rig: Rig) -> None:
    """The doorbell lies in a queue of the old pool, where it will be refused."""
    rig.wake("c1")
    assert rig.client.hexists(rig.key("bell"), AGENT)
    move(rig)
    assert rig.step("sweep", pool=SOLO, now=rig.now_ms, limit=10, ttl_ms=1, backlog=0) == ("SWEPT", [2000, AGENT])


def test_already(rig: Rig) -> None:
    """ALREADY: the reply was lost."""
    rig.wake("c1")
    move(rig)
    with rig.unchanged():
        assert move(rig) == "ALREADY"


def test_changed(rig: Rig) -> None:
    """CHANGED: it lives in a third pool by now."""
    rig.wake("c1")
    move(rig)
    with rig.unchanged():
        assert move(rig, to="lab") == "CHANGED"


def test_lease_held(rig: Rig) -> None:
    """LEASE_HELD: refused while it runs, and for a minute after."""
    lease, batch = rig.running()
    with rig.unchanged():
        assert move(rig) == "LEASE_HELD"
    rig.now_ms += rig.limits.ttl_ms + 59_999
    with rig.unchanged():
        assert move(rig) == "LEASE_HELD"
    assert rig.settle(lease, batch).status == "SETTLED"
    assert move(rig) == "MOVED"


def test_the_batch_of_a_lost_holder_goes_along(rig: Rig) -> None:
    """As a parked one that is due now: the same batch, its next attempt; its old holder finds nothing."""
    lease, batch = rig.running("c1")
    rig.wake("c2")
    rig.now_ms += rig.limits.ttl_ms + 60_000
    assert move(rig) == "MOVED"
    with rig.unchanged():
        assert rig.settle(lease, batch).status == "STALE_TOKEN"
        assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["STALE_TOKEN"]
    leased = rig.leased(pool=SOLO)
    assert leased.lease.token > lease.token
    assert leased.snapshot.parked[0].bypass is True
    again = rig.resumed(leased.lease, batch.batch_id)
    assert (ids(again), again.attempt) == (["c1"], 2)
    assert len(leased.snapshot.starts_ms) == 1


def test_a_lost_claim_does_not_go_along(rig: Rig) -> None:
    rig.wake("c1")
    rig.leased()
    rig.now_ms += HOUR_MS
    assert move(rig) == "MOVED"
    assert rig.due_ms(SOLO) == T0
    assert not rig.client.exists(rig.key("leases"), rig.key("leases", SOLO))


def test_only_the_configured_pool_changes(rig: Rig) -> None:
    """The configuration caught up with an operator's move, or wants what is there already."""
    rig.wake("c1")
    with rig.unchanged("homes"):
        assert rig.mailbox.move(AGENT, POOL, POOL, SOLO) == "MOVED"
    assert rig.ledger.home_of(AGENT) == (POOL, SOLO)
    assert rig.due_ms() == T0
    assert rig.wake("c2", configured=SOLO).status == "DEPOSITED"


def test_an_agent_that_nobody_knows_yet(rig: Rig) -> None:
    assert move(rig) == "MOVED"
    assert rig.wake("c1", pool=SOLO, configured=SOLO).status == "DEPOSITED"


def test_there_and_back(rig: Rig) -> None:
    rig.wake("c1")
    before = snapshot(rig.client, "homes", "pools", "bell", "look")
    assert (move(rig), move(rig, SOLO, POOL)) == ("MOVED", "MOVED")
    assert snapshot(rig.client, "homes", "pools", "bell", "look") == before


def test_slot_time_does_not_run_backwards_for_the_agent(rig: Rig) -> None:
    """The clock of the old pool ran ahead, after a step back of the server's; what is due now is due now there too."""
    rig.wake("c1")
    rig.now_ms -= HOUR_MS
    rig.wake("c2", delay_ms=100)
    assert move(rig) == "MOVED"
    leased = rig.leased("h1", "n", pool=SOLO)
    assert leased.snapshot.now_ms == T0
    rig.now_ms += 5
    assert rig.leased("h1", "n", pool=SOLO).snapshot.now_ms == T0 + 5
    assert leased.snapshot.lanes[0].session_key == MAIN


def test_counters_stay_and_the_books_balance(rig: Rig) -> None:
    """What was counted where the agent lived is counted there."""
    rig.settle(*rig.running("c1"))
    move(rig)
    rig.wake("c2", pool=SOLO, configured=SOLO)
    lease = rig.leased(pool=SOLO).lease
    rig.settle(lease, rig.begun(lease))
    assert rig.ledger.balance().settled == 2
    assert [r["what"] for r in rig.ledger.records(AGENT)] == ["begun", "ran", "begun", "ran"]
