"""cancel: an operator's word for one running heartbeat, fenced by its token; the holder hears of it at its renewal."""

from __future__ import annotations

import pytest

from dispatcher.core.policy import BuryParked, RunParked, decide
from dispatcher.core.rules import Rules
from dispatcher.store.cancels import Cancels, Running
from dispatcher.store.mailbox import Ended
from dispatcher.store.scripts import Reply
from tests.support.store import AGENT, POOL, Rig


def asked(rig: Rig, token: int, batch_id: str, *, retry: bool = False, by: str = "ann@vm", reason: str = "in circles") -> Reply:
    cancels = Cancels(rig.client, rig.caller, rig.keys, rig.limits)
    cancels.now_ms = rig.now_ms
    return cancels.cancel(Running(AGENT, POOL, batch_id, token, "h1"), by, reason, retry=retry)


@pytest.mark.parametrize(("retry", "word"), [(False, "CANCEL"), (True, "CANCEL_RETRY")])
def test_the_holder_hears_of_it_at_each_renewal(rig: Rig, retry: bool, word: str) -> None:
    """CANCELLING; it keeps its lease, or the command could not end in peace. A receipt says who wanted it."""
    lease, batch = rig.running()
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    assert asked(rig, lease.token, batch.batch_id, retry=retry) == Reply("CANCELLING", [])
    rig.now_ms += 5_000
    assert rig.mailbox.renew_all([(lease, batch.batch_id)] * 2) == [word, word]
    assert rig.due_ms() == rig.now_ms + rig.limits.ttl_ms
    receipt = rig.ledger.records(AGENT)[-1]
    assert (receipt["what"], receipt["batch"], receipt["token"]) == ("cancel-asked", batch.batch_id, str(lease.token))
    assert receipt["detail"] == {"by": "ann@vm", "reason": "in circles", "retry": retry}


def test_the_first_word_stands(rig: Rig) -> None:
    """ALREADY, by whom."""
    lease, batch = rig.running()
    asked(rig, lease.token, batch.batch_id)
    with rig.unchanged():
        assert asked(rig, lease.token, batch.batch_id, retry=True, by="bob@vm") == Reply("ALREADY", ["ann@vm"])


def test_nothing_runs(rig: Rig) -> None:
    """NOT_RUNNING: neither before begin nor after the end; what is parked does not run."""
    rig.wake("c1")
    lease = rig.leased().lease
    with rig.unchanged():
        assert asked(rig, lease.token, "").status == "NOT_RUNNING"
    batch = rig.begun(lease)
    rig.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom")
    with rig.unchanged():
        assert asked(rig, lease.token, batch.batch_id).status == "NOT_RUNNING"


def test_another_heartbeat_than_the_one_that_was_seen_is_left_alone(rig: Rig) -> None:
    """CHANGED: the next batch, and the next attempt of the same one."""
    lease, batch = rig.running("c1")
    rig.mailbox.park(lease, batch.batch_id, "handed-back", 0, "stop")
    again = rig.leased("h2").lease
    rig.resumed(again, batch.batch_id)
    with rig.unchanged():
        assert asked(rig, lease.token, batch.batch_id) == Reply("CHANGED", [str(again.token), batch.batch_id])
    assert rig.mailbox.renew_all([(again, batch.batch_id)]) == ["RENEWED"]
    rig.settle(again, batch)
    newer, other = rig.running("c2")
    with rig.unchanged():
        assert asked(rig, again.token, batch.batch_id).status == "CHANGED"
    assert rig.mailbox.renew_all([(newer, other.batch_id)]) == ["RENEWED"]


def test_it_becomes_dead_letters_that_say_by_whom(rig: Rig) -> None:
    lease, batch = rig.running("c1", "c2")
    asked(rig, lease.token, batch.batch_id)
    assert rig.mailbox.bury(lease, batch.batch_id, "cancelled", "") == Ended("BURIED", ring=False, count=2)
    assert [(letter.reason, letter.errors) for letter in rig.ledger.dead_letters()] == [
        ("cancelled", ("cancelled by ann@vm: in circles",))
    ] * 2
    receipt = rig.ledger.records(AGENT)[-1]
    assert receipt["detail"] == {"reason": "cancelled", "n": 2, "why": "cancelled by ann@vm: in circles"}


def test_to_retry_it_runs_again_and_nobody_cancels_that_one(rig: Rig) -> None:
    """Parked as it is, due at once, with neither failure nor delivery counted, and without the mark."""
    lease, batch = rig.running("c1")
    asked(rig, lease.token, batch.batch_id, retry=True, reason="")
    assert rig.mailbox.park(lease, batch.batch_id, "cancelled", 0, "") == Ended("PARKED", ring=True)
    assert rig.ledger.records(AGENT)[-1]["detail"] == {"error": "cancelled by ann@vm", "delay_ms": 0}
    leased = rig.leased()
    assert decide(leased.snapshot, Rules()) == RunParked(batch.batch_id)
    again = rig.resumed(leased.lease, batch.batch_id)
    assert (again.attempt, again.failures, again.deliveries) == (2, 0, 1)
    assert rig.mailbox.renew_all([(leased.lease, batch.batch_id)]) == ["RENEWED"]


@pytest.mark.parametrize("how", ["lost", "handed-back", "failed"])
def test_a_holder_that_ends_without_having_heard_does_not_undo_it(rig: Rig, how: str) -> None:
    """What was cancelled for good does not run again, whatever became of its worker."""
    lease, batch = rig.running("c1")
    asked(rig, lease.token, batch.batch_id)
    if how == "lost":
        rig.now_ms += rig.limits.ttl_ms
    else:
        rig.mailbox.park(lease, batch.batch_id, "failed" if how == "failed" else "handed-back", 0, "boom")
    leased = rig.leased("h2")
    assert decide(leased.snapshot, Rules()) == BuryParked(batch.batch_id, "cancelled")
    assert rig.mailbox.bury(leased.lease, batch.batch_id, "cancelled", "").status == "BURIED"
    (letter,) = rig.ledger.dead_letters()
    assert letter.errors[-1] == "cancelled by ann@vm: in circles"


def test_a_holder_that_dies_with_a_batch_to_retry_has_it_run_again(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    asked(rig, lease.token, batch.batch_id, retry=True)
    rig.now_ms += rig.limits.ttl_ms
    leased = rig.leased("h2")
    assert decide(leased.snapshot, Rules()) == RunParked(batch.batch_id)
    rig.resumed(leased.lease, batch.batch_id)
    assert rig.mailbox.renew_all([(leased.lease, batch.batch_id)]) == ["RENEWED"]


def test_a_heartbeat_that_ended_well_before_it_heard_is_settled(rig: Rig) -> None:
    """What was done is done: nothing of the mark is left."""
    lease, batch = rig.running("c1")
    asked(rig, lease.token, batch.batch_id)
    assert rig.settle(lease, batch).status == "SETTLED"
    assert rig.fate("c1") == "settled"
    newer, other = rig.running("c2")
    assert rig.mailbox.renew_all([(newer, other.batch_id)]) == ["RENEWED"]
