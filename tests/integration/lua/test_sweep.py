"""sweep: who must be rung now, and when to look next."""

from __future__ import annotations

import pytest

from dispatcher.store.mailbox import Leased, NotLeased
from tests.support.store import AGENT, T0, Rig

TTL_MS = 30_000


def test_swept(rig: Rig) -> None:
    """SWEPT: nothing, until something is due; then each agent once."""
    assert rig.sweep() == (-1, [])
    rig.wake("c1", delay_ms=250)
    assert rig.sweep() == (250, [])
    rig.now_ms += 250
    assert rig.sweep() == (2000, [AGENT])
    assert rig.sweep() == (2000, [])


def test_the_due_score_keeps_its_meaning(rig: Rig) -> None:
    """A ring is recorded elsewhere."""
    rig.wake("c1", delay_ms=250)
    rig.now_ms += 1000
    rig.sweep()
    assert rig.due_ms() == T0 + 250


def test_a_doorbell_that_nobody_answers_is_repeated(rig: Rig) -> None:
    """The message was lost: two seconds later another one."""
    rig.wake("c1", delay_ms=1)
    rig.now_ms += 1
    assert [_rings_after(rig, ms) for ms in (0, 1999, 1, 1999, 1)] == [True, False, True, False, True]


def test_with_a_backlog_it_is_repeated_ever_more_slowly(rig: Rig) -> None:
    """The messages are there and nobody has come to them yet: more would not help."""
    rig.wake("c1", delay_ms=1)
    rig.now_ms += 1
    waits = []
    for _ in range(8):
        wait_ms, rung = rig.sweep(backlog=True)
        assert rung == [AGENT]
        waits.append(wait_ms)
        rig.now_ms += wait_ms
    assert waits == [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    assert rig.sweep() == (2000, [AGENT])


def test_what_the_depositor_rang_is_not_rung_at_once_again(rig: Rig) -> None:
    assert rig.wake("c1").rest == [1]
    assert rig.sweep() == (2000, [])


def test_an_answered_doorbell_may_ring_again(rig: Rig) -> None:
    rig.wake("c1")
    rig.defer(rig.leased(), ("event", 100))
    rig.now_ms += 100
    assert rig.sweep() == (2000, [AGENT])


def test_a_limit(rig: Rig) -> None:
    """What is left is due at once."""
    names = [n for n in (f"a{i}" for i in range(2000)) if rig.keys.slot_of(n) == rig.keys.slot_of(AGENT)][:3]
    for name in names:
        rig.wake(f"c-{name}", session=f"agent:{name}:main", delay_ms=1)
    rig.now_ms += 1
    wait_ms, first = rig.sweep(limit=2)
    assert (wait_ms, len(first)) == (0, 2)
    assert sorted(first + rig.sweep(limit=2)[1]) == sorted(names)


def test_a_lease_is_looked_at_when_it_ends(rig: Rig) -> None:
    rig.sweep()
    rig.running()
    for _ in range(30):
        rig.now_ms += 999
        assert rig.sweep()[1] == []
    rig.now_ms = T0 + TTL_MS
    assert rig.sweep()[1] == [AGENT]
    assert isinstance(rig.acquire("h2"), Leased)


@pytest.mark.parametrize("swept_first", [True, False])
def test_after_a_gap_running_leases_get_one_more_ttl(rig: Rig, swept_first: bool) -> None:
    """Server away, or its clock jumped: the holder could not renew. It gets its time, whoever comes first."""
    lease, batch = rig.running()
    rig.sweep()
    rig.now_ms += 5 * TTL_MS
    if swept_first:
        rig.sweep()
    else:
        assert rig.acquire("h2") == NotLeased("LEASE_HELD", f"{rig.now_ms + 1000}/h1")
        rig.sweep()
    assert rig.acquire("h2") == NotLeased("LEASE_HELD", f"{rig.now_ms + TTL_MS}/h1")
    _sweep_until(rig, rig.now_ms + TTL_MS - 1)
    assert isinstance(rig.acquire("h2"), NotLeased)
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    _sweep_until(rig, rig.now_ms + TTL_MS)
    assert isinstance(rig.acquire("h2"), Leased)


def test_in_a_gap_the_agent_is_not_rung_all_the_time(rig: Rig) -> None:
    """It is looked at when its lease may be taken, not at each sweep."""
    rig.running()
    rig.sweep()
    rig.now_ms += TTL_MS + 1
    assert rig.sweep()[1] == [AGENT]
    rig.acquire("h2")
    assert rig.due_ms() == rig.now_ms + TTL_MS
    for _ in range(TTL_MS // 500 - 1):
        rig.now_ms += 500
        assert rig.sweep()[1] == []
    rig.now_ms += 500
    assert rig.sweep()[1] == [AGENT]


def test_no_gap_no_grace(rig: Rig) -> None:
    """A slot that was swept all the time, and one that never was."""
    rig.running()
    for _ in range(TTL_MS // 1000):
        rig.sweep()
        rig.now_ms += 1000
    assert isinstance(rig.acquire("h2"), Leased)


def test_a_lease_that_ended_before_the_gap_gets_nothing(rig: Rig) -> None:
    rig.running()
    _sweep_until(rig, T0 + TTL_MS + 500)
    rig.now_ms += 60_000
    rig.sweep()
    assert isinstance(rig.acquire("h2"), Leased)


def test_a_second_gap_does_not_take_away_what_the_first_gave(rig: Rig) -> None:
    """A server that restarts twice: nobody could renew in between."""
    rig.running()
    rig.sweep()
    rig.now_ms += TTL_MS + 1000
    rig.sweep()
    rig.now_ms += 1500
    assert isinstance(rig.acquire("h2"), NotLeased)
    rig.sweep()
    assert rig.acquire("h2") == NotLeased("LEASE_HELD", f"{rig.now_ms + TTL_MS}/h1")


def test_gap_upon_gap_does_not_spare_a_lease_for_ever(rig: Rig) -> None:
    """A sweeper that is always too slow must not keep a dead holder's agent from everyone."""
    rig.running()
    rig.sweep()
    for _ in range(4 * TTL_MS // 2000 + 2):
        rig.now_ms += 2000
        rig.sweep()
    assert isinstance(rig.acquire("h2"), Leased)


def _rings_after(rig: Rig, ms: int) -> bool:
    rig.now_ms += ms
    return rig.sweep()[1] == [AGENT]


def _sweep_until(rig: Rig, end_ms: int) -> None:
    while rig.now_ms < end_ms:
        rig.sweep()
        rig.now_ms = min(end_ms, rig.now_ms + 500)
    rig.sweep()
