"""trim: final fates are forgotten when they are old or too many, and never while their inbox entry may come back."""

from __future__ import annotations

from tests.support.gates import wait_until
from tests.support.store import AGENT, POOL, T0, Rig

FAR = 10**15


def trim(rig: Rig, *, safe_ms: int = FAR, older_ms: int = 0, keep: int = 1000, limit: int = 100) -> int:
    reply = rig.step("trim", agent=AGENT, safe_ms=safe_ms, older_ms=older_ms, keep=keep, limit=limit)
    assert reply.status == "TRIMMED"
    return int(reply.rest[0])


def entry_ms(rig: Rig, completion_id: str) -> int:
    return int(rig.ledger.marker_of(AGENT, completion_id)[1][0].split("-")[0])


def settled(rig: Rig, *completion_ids: str) -> None:
    for completion_id in completion_ids:
        rig.settle(*rig.running(completion_id))
        rig.now_ms += 100


def fates(rig: Rig) -> list[str]:
    return sorted(rig.client.hkeys(rig.key("fates")))


def test_trimmed(rig: Rig) -> None:
    """TRIMMED: how many; the agent stays listed while there is something to trim. The books do not change."""
    settled(rig, "c1", "c2", "c3")
    assert trim(rig, older_ms=T0 + 100) == 2
    assert fates(rig) == ["c3"]
    assert rig.client.zscore(rig.key("trims"), AGENT) == T0 + 200
    assert rig.ledger.balance().settled == 3
    assert rig.fate("c1") == "routed"
    assert trim(rig, older_ms=FAR) == 1
    assert rig.client.zscore(rig.key("trims"), AGENT) is None
    assert not rig.client.exists(rig.key("fates"), rig.key("finals"))


def test_nothing_is_old_enough(rig: Rig) -> None:
    settled(rig, "c1", "c2")
    with rig.unchanged():
        assert trim(rig, older_ms=T0 - 1) == 0


def test_a_marker_stays_while_its_entry_may_come_back(rig: Rig) -> None:
    """A router that stood still holds it; the marker is what makes its deposit a duplicate."""
    settled(rig, "c1")
    with rig.unchanged():
        assert trim(rig, older_ms=FAR, keep=0, safe_ms=entry_ms(rig, "c1")) == 0
    assert trim(rig, older_ms=FAR, safe_ms=entry_ms(rig, "c1") + 1) == 1


def test_the_newest_of_its_entries_counts(rig: Rig) -> None:
    """The id was accepted again: the later entry may still come back."""
    settled(rig, "c1")
    first = entry_ms(rig, "c1")
    rig.now_ms += rig.limits.dedupe_ms
    wait_until(lambda: rig.ledger.now_ms() > first, 90, "the server's clock goes on", every_s=0.001)
    rig.wake("c1")
    assert entry_ms(rig, "c1") > first
    assert trim(rig, older_ms=FAR, safe_ms=first + 1) == 0
    assert trim(rig, older_ms=FAR) == 1


def test_no_more_than_the_bound_are_kept(rig: Rig) -> None:
    settled(rig, "c1", "c2", "c3")
    assert trim(rig, keep=1) == 2
    assert fates(rig) == ["c3"]


def test_a_limit(rig: Rig) -> None:
    settled(rig, "c1", "c2", "c3")
    assert trim(rig, older_ms=FAR, limit=2) == 2
    assert fates(rig) == ["c3"]


def test_only_what_is_final_is_forgotten(rig: Rig) -> None:
    """Waiting, parked, running and dead stay, however old."""
    rig.buried("dead")
    rig.parked("parked", delay_ms=60_000, session="agent:ops:side")
    rig.running("running", session="agent:ops:third")
    rig.wake("waiting")
    rig.now_ms += 10**9
    assert trim(rig, older_ms=FAR, keep=0) == 0
    assert fates(rig) == ["dead", "parked", "running", "waiting"]


def test_dropped_and_suppressed_are_final(rig: Rig) -> None:
    rig.buried("c1")
    rig.mailbox.drop(AGENT, POOL, "c1", "operator")
    assert rig.client.zscore(rig.key("trims"), AGENT) == T0
    assert trim(rig, older_ms=FAR) == 1
    assert rig.ledger.balance().dropped == 1
