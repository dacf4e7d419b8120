"""begin: the wakes of one target are frozen as a batch, and the batch runs under the lease."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.models import Address
from dispatcher.store.mailbox import Begun, Ended
from tests.support.store import AGENT, INTENTS, LIMIT_MS, MAIN, SIDE, T0, Rig, deposit, ids, submission


def test_begun(rig: Rig) -> None:
    """BEGUN: everything of the target, oldest first whatever its intent; other targets stay; the start is noted."""
    rig.wake("c1", output="one")
    rig.wake("c2", "manual")
    rig.wake("c3", session=SIDE)
    rig.wake("c4", "scheduled")
    lease = rig.leased().lease
    rig.now_ms += 10
    batch = rig.begun(lease)
    assert (batch.batch_id, batch.address) == (f"ops-{lease.token}", Address(agent_id=AGENT, session_key=MAIN))
    assert (batch.attempt, batch.failures, batch.deliveries, ids(batch)) == (1, 0, 1, ["c1", "c2", "c4"])
    assert batch.outputs == {"c1": "one"}
    assert rig.waiting() == ["c3"]
    assert rig.due_ms() == rig.now_ms + rig.limits.ttl_ms
    assert rig.starts() == [f"{T0 + 10}:{batch.batch_id}"]
    where = rig.ledger.where("c2")
    assert where
    assert (where.fate.value, where.detail) == ("running", batch.batch_id)
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["batch"], record["detail"]) == ("begun", batch.batch_id, {"n": 3, "session": MAIN, "attempt": 1})
    balance = rig.ledger.balance()
    assert (balance.pending, balance.running) == (1, 3)
    status = rig.ledger.agent(AGENT)
    assert status
    assert (status.running, status.token, status.holder) == (batch.batch_id, lease.token, "h1")


def test_a_repeated_begin_gets_the_same_batch(rig: Rig) -> None:
    """The reply was lost, and more came meanwhile: a frozen batch never changes."""
    rig.wake("c1")
    lease = rig.leased().lease
    batch = rig.begun(lease)
    rig.wake("c2")
    with rig.unchanged():
        assert rig.begun(lease) == batch


def test_later_arrivals_open_the_next_batch(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.wake("c2")
    assert rig.fate("c2") == "pending"
    assert rig.settle(lease, batch) == Ended("SETTLED", ring=True, count=1)
    after = rig.begun(rig.leased().lease)
    assert ids(after) == ["c2"]
    assert after.batch_id != batch.batch_id


def test_what_is_over_the_bound_is_the_next_batch(rig: Rig) -> None:
    """The order of the intents says who comes first; within one, the oldest."""
    for i in range(4):
        rig.wake(f"c{i}")
    rig.wake("m", "manual")
    lease = rig.leased().lease
    batch = rig.begun(lease, max_batch=3)
    assert ids(batch) == ["c0", "c1", "m"]
    assert rig.settle(lease, batch).ring is True
    assert ids(rig.begun(rig.leased().lease, max_batch=3)) == ["c2", "c3"]


def test_only_the_asked_intents_are_taken(rig: Rig) -> None:
    rig.wake("c1")
    rig.wake("c2", "task")
    lease = rig.leased().lease
    assert ids(rig.begun(lease, intents=("task", "rider"))) == ["c2"]
    assert rig.waiting() == ["c1"]


@pytest.mark.parametrize(
    ("came", "intent"),
    [(["rider", "event"], "event"), (["rider"], "event"), (["scheduled", "rider"], "scheduled"), (["event", "manual"], "manual")],
)
def test_the_batch_is_as_urgent_as_its_most_urgent_member(rig: Rig, came: list[str], intent: str) -> None:
    for lane in came:
        rig.wake(f"c-{lane}", lane)
    lease = rig.leased().lease
    rig.mailbox.park(lease, rig.begun(lease).batch_id, "failed", 0, "boom")
    assert rig.leased().snapshot.parked[0].intent == intent


def test_the_newest_outputs_are_handed_out(rig: Rig) -> None:
    few = rig.limited(outputs_shown=2)
    for i in range(4):
        few.wake(f"c{i}", output=f"out {i}")
    assert few.begun(few.leased().lease).outputs == {"c2": "out 2", "c3": "out 3"}


def test_a_large_batch_comes_whole_and_in_order(rig: Rig) -> None:
    """More than one HMGET holds, and more digits than one: the order is that of arrival, not of text."""
    names = [f"c{i}" for i in range(1203)]
    rig.inbox.submit_all([submission(name) for name in names], T0)
    rig.mailbox.deposit_all([deposit(entry) for entry in rig.inbox.claim("r1", 2000).entries])
    assert ids(rig.begun(rig.leased().lease)) == names


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: of an old token, another holder, and of one that released."""
    rig.wake("c1")
    old = rig.leased("h1").lease
    rig.now_ms += rig.limits.claim_ms
    new = rig.leased("h2").lease
    with rig.unchanged():
        for lease in (old, new.model_copy(update={"holder": "h1"}), new.model_copy(update={"holder": ""})):
            assert rig.mailbox.begin(lease, MAIN, INTENTS, 10, LIMIT_MS) == Ended("STALE_TOKEN")
    batch = rig.begun(new)
    rig.settle(new, batch)
    with rig.unchanged():
        assert rig.mailbox.begin(new, MAIN, INTENTS, 10, LIMIT_MS) == Ended("STALE_TOKEN")


def test_an_expired_claim_that_nobody_took_may_begin(rig: Rig) -> None:
    rig.wake("c1")
    lease = rig.leased().lease
    rig.now_ms += rig.limits.claim_ms + 1
    assert isinstance(rig.mailbox.begin(lease, MAIN, INTENTS, 10, LIMIT_MS), Begun)


def test_begun_already(rig: Rig) -> None:
    """BEGUN_ALREADY: a lease runs one batch."""
    lease, _ = rig.running("c1")
    rig.wake("c2", session=SIDE)
    args: dict[str, Any] = {
        "now": T0,
        "agent": AGENT,
        "token": lease.token,
        "holder": "h1",
        "batch": "another",
        "session": SIDE,
        "intents": "event",
    }
    with rig.unchanged():
        reply = rig.step("begin", **args, max_batch=1, counts=1, ttl_ms=1, limit_ms=1, outputs_shown=0, ledger_max=1)
    assert reply == ("BEGUN_ALREADY", [f"ops-{lease.token}"])


def test_target_parked(rig: Rig) -> None:
    """TARGET_PARKED: what came after a frozen batch does not overtake it."""
    rig.parked("c1", delay_ms=60_000)
    rig.wake("c2")
    rig.wake("c3", session=SIDE)
    lease = rig.leased().lease
    with rig.unchanged():
        assert rig.mailbox.begin(lease, MAIN, INTENTS, 10, LIMIT_MS) == Ended("TARGET_PARKED")
    assert ids(rig.begun(lease, SIDE)) == ["c3"]


def test_nothing(rig: Rig) -> None:
    """NOTHING: no wakes of these intents, or of this session."""
    rig.wake("c1")
    lease = rig.leased().lease
    with rig.unchanged():
        assert rig.mailbox.begin(lease, MAIN, ("manual",), 10, LIMIT_MS) == Ended("NOTHING")
        assert rig.mailbox.begin(lease, "agent:ops:ma", INTENTS, 10, LIMIT_MS) == Ended("NOTHING")
        assert rig.mailbox.begin(lease, f"{MAIN} 2", INTENTS, 10, LIMIT_MS) == Ended("NOTHING")


def test_sessions_whose_names_begin_alike_are_two(rig: Rig) -> None:
    alike = [MAIN, f"{MAIN}:x", f"{MAIN} x", f"{MAIN}é"]
    for i, session in enumerate(alike):
        rig.wake(f"c{i}", session=session)
    for i, session in enumerate(alike):
        lease = rig.leased().lease
        batch = rig.begun(lease, session)
        assert ids(batch) == [f"c{i}"]
        rig.settle(lease, batch)


def test_the_newest_32_starts_are_kept(rig: Rig) -> None:
    for i in range(34):
        rig.settle(*rig.running(f"c{i}"))
        rig.now_ms += 1
    assert [start.split(":")[0] for start in rig.starts()] == [str(T0 + i) for i in range(2, 34)]
