"""bury: a batch is set aside as a whole, visible and revivable."""

from __future__ import annotations

import pytest

from dispatcher.store.letters import wake_of
from dispatcher.store.mailbox import Begun, Ended
from tests.support.store import AGENT, MAIN, SIDE, T0, Rig, ids


def test_buried(rig: Rig) -> None:
    """BURIED: a dead letter for each completion with all that reviving needs; the agent is free."""
    rig.wake("c1", output="tail")
    lease, batch = rig.running("c2")
    rig.now_ms += 10
    assert rig.mailbox.bury(lease, batch.batch_id, "refused-by-runner", "HTTP 400 | é") == Ended("BURIED", ring=False, count=2)
    assert rig.due_ms() is None
    first, second = sorted(rig.ledger.dead_letters(), key=lambda dead: dead.completion_id)
    assert (first.completion_id, first.reason, first.session_key, first.agent_id) == ("c1", "refused-by-runner", MAIN, AGENT)
    assert (first.attempts, first.dead_at_ms, first.batch_id, first.errors) == (1, T0 + 10, batch.batch_id, ("HTTP 400 | é",))
    assert second.completion_id == "c2"
    found = rig.ledger.dead_letter("c1")
    assert found
    assert wake_of(found[1]) == batch.wakes[0]
    assert (found[1]["output"], found[1]["revival"], found[1]["accepted_at"]) == ("tail", 0, T0)
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.detail) == ("dead", "refused-by-runner")
    assert rig.client.hget(rig.key("counters"), "dead:refused-by-runner") == "2"
    record = rig.ledger.records(AGENT)[-1]
    assert (record["what"], record["batch"], record["detail"]) == ("dead-lettered", batch.batch_id, {"reason": "refused-by-runner", "n": 2})
    for name in ("mailbox", "wakes", "outputs", "frozen", "batches", "parked", "blocks"):
        assert not rig.client.exists(rig.key(name)), name


@pytest.mark.parametrize(("reason", "outcome"), [("attempts-exhausted", "failed"), ("refused", "failed"), ("cancelled", "cancelled")])
def test_the_last_heartbeat_of_a_batch_is_counted(rig: Rig, reason: str, outcome: str) -> None:
    lease, batch = rig.running("c1")
    rig.mailbox.bury(lease, batch.batch_id, reason, "")
    assert heartbeats(rig) == {f"heartbeats:{outcome}": "1"}


def test_what_took_no_turn_is_no_heartbeat(rig: Rig) -> None:
    """Begun only to be set aside, or parked: of that batch the one turn that failed."""
    rig.wake("c1")
    lease = rig.leased().lease
    begun = rig.mailbox.begin(lease, MAIN, ("event",), 10, 0, counts=False)
    assert isinstance(begun, Begun)
    rig.mailbox.bury(lease, begun.batch.batch_id, "drained", "")
    assert heartbeats(rig) == {}
    batch = rig.parked("c2", delay_ms=0)
    rig.mailbox.bury(rig.leased().lease, batch.batch_id, "worker-lost", "")
    assert heartbeats(rig) == {"heartbeats:failed": "1"}


def heartbeats(rig: Rig) -> dict[str, str]:
    return {name: count for name, count in rig.client.hgetall(rig.key("counters")).items() if name.startswith("heartbeats:")}


def test_what_came_meanwhile_rings(rig: Rig) -> None:
    lease, batch = rig.running("c1")
    rig.wake("c2")
    assert rig.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "").ring is True
    assert ids(rig.begun(rig.leased().lease)) == ["c2"]


def test_a_parked_batch_is_buried_by_who_holds_the_agent(rig: Rig) -> None:
    """It killed its worker too often; the lanes behind it are free again."""
    batch = rig.parked("c1", delay_ms=0)
    rig.wake("c2")
    lease = rig.leased().lease
    assert rig.mailbox.bury(lease, batch.batch_id, "worker-lost", "") == Ended("BURIED", ring=True, count=1)
    (letter,) = rig.ledger.dead_letters()
    assert (letter.reason, letter.errors) == ("worker-lost", ("boom",))
    assert ids(rig.begun(rig.leased().lease)) == ["c2"]


@pytest.mark.parametrize("parked", [False, True])
def test_already_settled(rig: Rig, parked: bool) -> None:
    """ALREADY_SETTLED: the reply was lost."""
    if parked:
        batch = rig.parked(delay_ms=0)
        lease = rig.leased().lease
    else:
        lease, batch = rig.running()
    assert rig.mailbox.bury(lease, batch.batch_id, "worker-lost", "").status == "BURIED"
    with rig.unchanged():
        assert rig.mailbox.bury(lease, batch.batch_id, "worker-lost", "") == Ended("ALREADY_SETTLED")


def test_stale_token(rig: Rig) -> None:
    """STALE_TOKEN: a late holder buries nothing, neither what it ran nor what is parked."""
    lease, batch = rig.taken_over()
    with rig.unchanged():
        assert rig.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "") == Ended("STALE_TOKEN")


def test_no_batch(rig: Rig) -> None:
    """NO_BATCH: who runs one batch buries no other."""
    parked = rig.parked("c1", delay_ms=60_000)
    lease, _ = rig.running("c2", session=SIDE)
    with rig.unchanged():
        assert rig.mailbox.bury(lease, parked.batch_id, "worker-lost", "") == Ended("NO_BATCH")
        assert rig.mailbox.bury(lease, "ops-1", "worker-lost", "") == Ended("NO_BATCH")


def test_dead_full(rig: Rig) -> None:
    """DEAD_FULL: nothing is evicted and nothing half buried; the batch can still be parked."""
    small = rig.limited(max_dead=2)
    small.buried("c1")
    lease, batch = small.running("c2", "c3")
    with rig.unchanged():
        assert small.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "") == Ended("DEAD_FULL", ring=True)
    assert small.mailbox.park(lease, batch.batch_id, "failed", 2000, "boom").status == "PARKED"
    assert small.mailbox.drop(AGENT, "agents", "c1", "operator").status == "DROPPED"
    small.now_ms += 2000
    lease = small.leased().lease
    small.resumed(lease, batch.batch_id)
    assert small.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "").status == "BURIED"
