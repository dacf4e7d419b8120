"""The record of a frozen batch is lost: its agent goes on with what else it has, and the doctor writes the record anew; nothing is lost."""

from __future__ import annotations

import pytest

from dispatcher.core.models import Lease
from dispatcher.store.mailbox import Begun, Ended, Leased, NotLeased
from tests.support.store_state import assert_sound
from tests.support.wake_cli import ALL, WakeCli

MAIN, SIDE = "agent:ops:main", "agent:ops:side"
LIMIT_MS = 600_000


def key(wake: WakeCli, name: str) -> str:
    return wake.store.keys.agent("agents", "ops")[name]


def leased(wake: WakeCli, nonce: str) -> Leased:
    found = wake.store.mailbox.acquire("ops", "agents", "h2", nonce)
    assert isinstance(found, Leased), found
    return found


def lost(wake: WakeCli, *, parked: bool) -> tuple[Lease, str]:
    """c1 in a batch that failed, or runs, and has no record any more."""
    wake.deposit("c1", MAIN)
    lease, batch = wake.begin()
    if parked:
        assert wake.store.mailbox.park(lease, batch.batch_id, "failed", 0, "boom").status == "PARKED"
    wake.client.delete(key(wake, "batches"))
    return lease, batch.batch_id


def mended(wake: WakeCli, batch_id: str) -> None:
    fixed = wake.run("doctor", "--fix", "--json")
    assert fixed.code == 0, fixed
    assert f"batch-unrecorded {batch_id}" in [finding["what"] for finding in fixed.document["findings"]]
    assert wake.json("doctor") == {"findings": []}
    assert_sound(wake.client, wake.store.keys)
    assert wake.balanced()


def runs_again(wake: WakeCli, batch_id: str, attempt: int) -> None:
    """As itself: the same id, the same completion, its next attempt."""
    lease = leased(wake, "last").lease
    begun = wake.store.mailbox.resume(lease, batch_id, LIMIT_MS)
    assert isinstance(begun, Begun), begun
    assert (begun.batch.address.session_key, begun.batch.attempt, [w.wake_id for w in begun.batch.wakes]) == (MAIN, attempt, ["c1"])
    assert wake.store.mailbox.settle(lease, batch_id, "ran", {}).status == "SETTLED"
    assert (wake.fate("c1"), wake.json("doctor"), wake.balanced()) == ("settled", {"findings": []}, True)


@pytest.mark.parametrize("known_by", ["block", "receipt"])
def test_a_parked_batch_keeps_its_agent_from_nothing_and_comes_back(wake: WakeCli, known_by: str) -> None:
    _, batch_id = lost(wake, parked=True)
    wake.client.delete(key(wake, "ledger" if known_by == "block" else "blocks"))
    wake.deposit("c2", SIDE)
    found = leased(wake, "n2")
    assert (found.snapshot.parked, [lane.session_key for lane in found.snapshot.lanes]) == ((), [SIDE])
    assert isinstance(wake.store.mailbox.resume(found.lease, batch_id, LIMIT_MS), Ended)
    begun = wake.store.mailbox.begin(found.lease, SIDE, ALL, 10, LIMIT_MS)
    assert isinstance(begun, Begun), begun
    assert wake.store.mailbox.settle(found.lease, begun.batch.batch_id, "ran", {}).status == "SETTLED"
    assert isinstance(wake.store.mailbox.acquire("ops", "agents", "h2", "n3"), NotLeased)  # no look after look at what cannot run
    assert wake.client.zscore(key(wake, "due"), "ops")  # but one within the hour
    assert wake.run("explain", "ops").code == 0
    assert wake.run("drain", "ops", "--reason", "tidy").code == 0
    assert wake.run("resume", "ops").code == 0
    mended(wake, batch_id)
    runs_again(wake, batch_id, attempt=2)


def test_a_manual_wake_is_accepted_beside_it(wake: WakeCli) -> None:
    """Before, the step failed after it had written; each repetition wrote again."""
    _, batch_id = lost(wake, parked=True)
    assert wake.run("wake", "ops").code == 0
    wake.route()
    assert wake.balanced()
    mended(wake, batch_id)


def test_its_holder_settles_it_all_the_same(wake: WakeCli) -> None:
    lease, batch_id = lost(wake, parked=False)
    assert wake.store.mailbox.park(lease, batch_id, "failed", 0, "boom").status == "NO_BATCH"
    assert wake.store.mailbox.dissolve(lease, batch_id, 0, 0, 0, "requests-in-flight").status == "NO_BATCH"
    assert wake.store.mailbox.begin(lease, MAIN, ALL, 10, LIMIT_MS) == Ended("BEGUN_ALREADY")
    assert wake.store.mailbox.settle(lease, batch_id, "ran", {}) == Ended("SETTLED", count=1)
    assert (wake.fate("c1"), wake.json("doctor"), wake.balanced()) == ("settled", {"findings": []}, True)


def test_its_holder_may_have_it_mended_while_it_runs(wake: WakeCli) -> None:
    lease, batch_id = lost(wake, parked=False)
    mended(wake, batch_id)
    assert wake.store.mailbox.park(lease, batch_id, "failed", 0, "boom").status == "PARKED"
    runs_again(wake, batch_id, attempt=2)


@pytest.mark.parametrize("by", ["another worker", "a move"])
def test_its_holder_is_gone(wake: WakeCli, by: str) -> None:
    _, batch_id = lost(wake, parked=False)
    wake.client.hset(key(wake, "lease"), "until", 1)
    if by == "a move":
        assert wake.run("move", "ops", "quiet").code == 0
        assert wake.run("move", "ops", "agents").code == 0
    else:
        found = leased(wake, "n2")
        assert found.snapshot.parked == ()
        assert wake.store.mailbox.defer(found.lease, found.snapshot.seq, ()).status == "DEFERRED"
    assert wake.client.zscore(key(wake, "due"), "ops")
    mended(wake, batch_id)
    runs_again(wake, batch_id, attempt=2)
