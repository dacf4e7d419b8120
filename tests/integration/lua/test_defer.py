"""defer: nothing may run now, and it is known until when, and why."""

from __future__ import annotations

from dispatcher.store.mailbox import Ended
from tests.support.store import AGENT, HOUR_MS, T0, Rig


def test_deferred(rig: Rig) -> None:
    """DEFERRED: the time and the reason are on record, the agent is free and looked at then."""
    rig.wake("c1")
    leased = rig.leased()
    assert rig.defer(leased, ("event", 30_000)) == Ended("DEFERRED", ring=False)
    assert rig.due_ms() == T0 + 30_000
    status = rig.ledger.agent(AGENT)
    assert status
    assert status.deferrals == {"event": (T0 + 30_000, "why")}
    assert (status.holder, status.pending) == (None, 1)
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["token"], record["detail"]) == ("deferred", str(leased.lease.token), [["event", T0 + 30_000, "why"]])
    assert rig.fate("c1") == "pending"
    rig.now_ms += 30_000
    rig.leased()


def test_a_deferral_of_events_does_not_delay_a_person(rig: Rig) -> None:
    rig.wake("c1")
    rig.defer(rig.leased(), ("event", 30_000))
    rig.wake("c2", "manual")
    assert {lane.intent for lane in rig.leased().snapshot.lanes} == {"event", "manual"}


def test_riders_are_bound_as_events(rig: Rig) -> None:
    rig.wake("c1", "rider")
    rig.defer(rig.leased(), ("event", 30_000))
    assert rig.due_ms() == T0 + 30_000


def test_a_parked_batch_is_deferred_by_its_id(rig: Rig) -> None:
    """The flood guard holds a retry back; one that is settled already is not made again."""
    batch = rig.parked("c1", delay_ms=0)
    leased = rig.leased()
    assert rig.defer(leased, (f"batch:{batch.batch_id}", 60_000), ("batch:ops-1", 60_000)).ring is False
    assert rig.due_ms() == T0 + 60_000
    assert rig.client.zrange(rig.key("parked"), 0, -1) == [batch.batch_id]


def test_nothing_to_defer(rig: Rig) -> None:
    """The snapshot showed nothing that is due; what is due by now rings."""
    rig.wake("c1")
    leased = rig.leased()
    assert rig.defer(leased) == Ended("DEFERRED", ring=True)


def test_no_look_is_more_than_an_hour_ahead(rig: Rig) -> None:
    rig.wake("c1")
    rig.defer(rig.leased(), ("event", 12 * HOUR_MS))
    assert rig.due_ms() == T0 + HOUR_MS


def test_changed(rig: Rig) -> None:
    """CHANGED: a person asked after the decision. The lease stays; the same nonce shows what is new."""
    rig.wake("c1")
    leased = rig.leased("h1", "n")
    rig.wake("c2", "manual")
    with rig.unchanged():
        assert rig.defer(leased, ("event", 30_000), ("manual", 30_000)) == Ended("CHANGED")
    again = rig.leased("h1", "n")
    assert again.lease == leased.lease
    assert rig.defer(again, ("event", 30_000)) == Ended("DEFERRED", ring=True)


def test_an_event_that_came_meanwhile_changes_nothing(rig: Rig) -> None:
    rig.wake("c1")
    leased = rig.leased()
    rig.wake("c2")
    assert rig.defer(leased, ("event", 30_000)) == Ended("DEFERRED", ring=False)


def test_a_repeated_defer_is_told_that_it_is_done(rig: Rig) -> None:
    """The reply was lost; nothing is written twice, and the holder did not lose anything."""
    rig.wake("c1")
    leased = rig.leased()
    rig.defer(leased, ("event", 30_000))
    with rig.unchanged():
        assert rig.defer(leased, ("event", 90_000)) == Ended("DEFERRED", ring=False)


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: of an old holder, and of one whose claim ended without a deferral."""
    rig.wake("c1")
    old = rig.leased("h1")
    rig.now_ms += rig.limits.claim_ms
    new = rig.leased("h2")
    with rig.unchanged():
        assert rig.defer(old, ("event", 30_000)) == Ended("STALE_TOKEN")
    rig.settle(new.lease, rig.begun(new.lease))
    with rig.unchanged():
        assert rig.defer(new, ("event", 30_000)) == Ended("STALE_TOKEN")


def test_begun_already(rig: Rig) -> None:
    """BEGUN_ALREADY: what runs is not deferred."""
    rig.wake("c1")
    leased = rig.leased()
    rig.begun(leased.lease)
    with rig.unchanged():
        assert rig.defer(leased, ("event", 30_000)) == Ended("BEGUN_ALREADY")
