"""deposit: a wake, its marker and the due entry come together, once per completion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.store import AGENT, HOUR_MS, MAIN, SIDE, T0, Rig, deposit, ids


def test_deposited(rig: Rig) -> None:
    """DEPOSITED: the wake waits in its lane, has a fate, and somebody looks when its window is over."""
    reply = rig.wake("c1", delay_ms=250, output="last line")
    assert (reply.status, reply.rest) == ("DEPOSITED", [0])
    assert rig.waiting() == ["c1"]
    assert rig.due_ms() == T0 + 250
    assert rig.client.hvals(rig.key("outputs")) == ["last line"]
    where = rig.ledger.where("c1")
    assert where
    assert (where.fate.value, where.agent_id, where.at_ms) == ("pending", AGENT, T0)
    assert rig.ledger.home_of(AGENT) == ("agents", "agents")
    assert rig.client.hgetall(rig.key("counters")) == {"deposited": "1"}
    assert rig.ledger.pools() == [(rig.keys.slot_of(AGENT), "agents")]


def test_the_first_wake_sets_the_window_and_later_ones_only_make_it_earlier(rig: Rig) -> None:
    rig.wake("c1", delay_ms=250)
    rig.now_ms += 100
    rig.wake("c2", delay_ms=250)
    assert rig.due_ms() == T0 + 250
    rig.wake("c3", delay_ms=50)
    assert rig.due_ms() == T0 + 150
    rig.wake("c4", "manual")
    assert rig.due_ms() == T0 + 100


def test_who_is_due_at_once_is_rung_by_the_depositor_and_once(rig: Rig) -> None:
    """About one doorbell is out per agent; a person's is always rung."""
    assert rig.wake("c1").rest == [1]
    assert rig.wake("c2").rest == [0]
    assert rig.wake("c3", "immediate").rest == [1]
    assert rig.wake("c4", "manual").rest == [1]
    rig.now_ms += 2000
    assert rig.wake("c5").rest == [1]


def test_nobody_is_rung_while_the_agent_runs(rig: Rig) -> None:
    rig.running("c1")
    assert rig.wake("c2", "manual").rest == [0]
    assert rig.due_ms() == T0 + rig.limits.ttl_ms


def test_a_deferral_binds_its_intent_and_no_other(rig: Rig) -> None:
    """An event that joins a deferral causes no look; a manual wake does."""
    rig.wake("c1")
    rig.defer(rig.leased(), ("event", 30_000))
    assert rig.wake("c2").rest == [0]
    assert rig.due_ms() == T0 + 30_000
    assert rig.wake("c3", "manual").rest == [1]
    assert rig.due_ms() == T0


def test_duplicate(rig: Rig) -> None:
    """DUPLICATE: a router died between deposit and acknowledge, or never saw the reply. Nothing is counted, nobody is woken."""
    entry = rig.submitted("c1")
    assert rig.put(entry).status == "DEPOSITED"
    with rig.unchanged():
        reply = rig.put(entry)
    assert (reply.status, reply.rest) == ("DUPLICATE", ["pending"])
    assert rig.ledger.has_marker(AGENT, "c1", entry.entry)
    assert not rig.ledger.has_marker(AGENT, "c1", "1-1")
    assert not rig.ledger.has_marker("nobody", "c1", entry.entry)


@pytest.mark.parametrize("stage", ["running", "settled", "dead"])
def test_a_duplicate_is_one_at_every_stage(rig: Rig, stage: str) -> None:
    entry = rig.submitted("c1")
    rig.put(entry)
    lease = rig.leased().lease
    batch = rig.begun(lease)
    if stage == "settled":
        rig.settle(lease, batch)
    elif stage == "dead":
        rig.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "boom")
    with rig.unchanged():
        assert rig.put(entry).rest == [stage]


def test_an_id_accepted_again_is_counted_once_for_each_entry(rig: Rig) -> None:
    """After the producer's dedupe time the same id has another entry: it wakes nobody, and the books say `suppressed`."""
    first = rig.submitted("c1")
    rig.put(first)
    rig.now_ms += rig.limits.dedupe_ms
    second = rig.submitted("c1")
    for _ in range(2):
        assert rig.put(second).status == "DUPLICATE"
        assert rig.put(first).status == "DUPLICATE"
    assert rig.ledger.balance().suppressed == 1
    assert rig.waiting() == ["c1"]
    assert rig.ledger.has_marker(AGENT, "c1", first.entry)
    assert rig.ledger.has_marker(AGENT, "c1", second.entry)


def test_mailbox_full(rig: Rig) -> None:
    """MAILBOX_FULL: accepted, visible, revivable; the marker is there and the due time stays."""
    small = rig.limited(max_mailbox=1)
    small.wake("c1", delay_ms=250)
    entry = small.submitted("c2")
    assert small.put(entry, output="tail").status == "MAILBOX_FULL"
    with rig.unchanged():
        assert small.put(entry).rest == ["dead"]
    small.inbox.acknowledge([(entry, AGENT, "session-key")])
    assert small.due_ms() == T0 + 250
    assert rig.client.hget(rig.key("counters"), "dead:mailbox-full") == "1"
    (letter,) = rig.ledger.dead_letters()
    assert (letter.completion_id, letter.reason, letter.session_key, letter.agent_id) == ("c2", "mailbox-full", MAIN, AGENT)
    assert (letter.dead_at_ms, letter.attempts, letter.errors) == (T0, 0, ())
    assert rig.fate("c2") == "dead"
    assert rig.mailbox.revive(AGENT, "agents", "c2").status == "REVIVED"
    assert rig.waiting() == ["c1", "c2"]


def test_frozen_wakes_fill_the_mailbox_too(rig: Rig) -> None:
    small = rig.limited(max_mailbox=1)
    small.running("c1")
    assert small.wake("c2").status == "MAILBOX_FULL"


def test_dead_full(rig: Rig) -> None:
    """DEAD_FULL: with no room for a dead letter either, the entry stays in the inbox."""
    small = rig.limited(max_mailbox=1, max_dead=0)
    small.wake("c1")
    entry = small.submitted("c2")
    with rig.unchanged():
        assert small.put(entry).status == "DEAD_FULL"


@pytest.mark.parametrize(("pool", "configured"), [("solo", "agents"), ("agents", "solo"), ("solo", "solo")])
def test_moved(rig: Rig, pool: str, configured: str) -> None:
    """MOVED: the agent lives elsewhere, or the configuration changed since; the answer says what is recorded."""
    rig.wake("c1")
    entry = rig.submitted("c2")
    with rig.unchanged():
        reply = rig.put(entry, pool=pool, configured=configured)
    assert (reply.status, reply.rest) == ("MOVED", ["agents", "agents"])


def test_too_late(rig: Rig) -> None:
    """TOO_LATE: what was read long ago may be another router's by now, deposited and its marker forgotten."""
    entry = rig.submitted("c1")
    hold_ms = rig.limits.max_hold_ms
    with rig.unchanged():
        assert rig.put(entry, read_at_ms=T0 - hold_ms - 1).status == "TOO_LATE"
        assert rig.put(entry, read_at_ms=T0 + 1).status == "TOO_LATE"  # the clock was set back meanwhile: nobody knows how long it was
    assert rig.put(entry, read_at_ms=T0 - hold_ms).status == "DEPOSITED"


def test_a_clock_that_was_set_back_does_not_make_everything_late(rig: Rig) -> None:
    """The slot's time goes on from where it was, the server's does not, and entries are read by the server's."""
    rig.wake("c1")
    rig.now_ms -= HOUR_MS
    assert rig.wake("c2", read_at_ms=rig.now_ms - 10).status == "DEPOSITED"


def test_a_parked_batch_blocks_its_own_target_only(rig: Rig) -> None:
    rig.parked("c1", delay_ms=2000)
    assert rig.wake("c2").rest == [0]
    assert rig.due_ms() == T0 + 2000
    assert rig.wake("c3", session=SIDE).rest == [1]
    assert rig.due_ms() == T0


@pytest.mark.parametrize("intent", ["manual", "immediate"])
def test_an_urgent_wake_makes_a_parked_batch_due_now(rig: Rig, intent: str) -> None:
    """A person does not wait behind a retry: the frozen batch runs now, unchanged, and the wake follows in one of its own."""
    batch = rig.parked("c1", delay_ms=60_000)
    assert rig.wake("c2", intent).rest == [1]
    leased = rig.leased()
    assert [(p.batch_id, p.not_before_ms, p.urgent) for p in leased.snapshot.parked] == [(batch.batch_id, T0, intent)]
    assert leased.snapshot.lanes == ()
    again = rig.resumed(leased.lease, batch.batch_id)
    assert again.wakes == batch.wakes
    assert rig.settle(leased.lease, again).ring is True
    lease = rig.leased().lease
    assert ids(rig.begun(lease)) == ["c2"]


def test_it_does_so_once(rig: Rig) -> None:
    """When the batch fails again its backoff holds, though the person's wake still waits behind it."""
    batch = rig.parked("c1", delay_ms=60_000)
    rig.wake("c2", "manual")
    lease = rig.leased().lease
    rig.resumed(lease, batch.batch_id)
    assert rig.mailbox.park(lease, batch.batch_id, "failed", 4000, "boom").ring is False
    assert rig.due_ms() == T0 + 4000


def test_a_revival_of_what_was_final_here_is_not_trimmed(rig: Rig) -> None:
    """A quiet completion of another day, whose id comes back from another agent's dead letters."""
    entry = rig.submitted("c1")
    rig.mailbox.put_all([(deposit(entry), "empty-success")])
    rig.caller.books = False
    assert rig.put(replace(entry, revival=1)).status == "DEPOSITED"
    assert not rig.client.exists(rig.key("finals"))


def test_an_immediate_wake_does_not_make_a_persons_less_urgent(rig: Rig) -> None:
    rig.parked("c1", delay_ms=60_000)
    rig.wake("c2", "manual")
    rig.wake("c3", "immediate")
    assert rig.leased().snapshot.parked[0].urgent == "manual"


def test_an_urgent_wake_for_another_session_does_not_touch_a_parked_batch(rig: Rig) -> None:
    rig.parked("c1", delay_ms=60_000)
    rig.wake("c2", "manual", SIDE)
    (parked,) = rig.leased().snapshot.parked
    assert (parked.not_before_ms, parked.urgent) == (T0 + 60_000, None)


def test_nobody_is_looked_at_more_than_an_hour_ahead(rig: Rig) -> None:
    """A rider waits for a day, and its mailbox is looked at each hour."""
    rig.wake("c1", "rider", delay_ms=24 * HOUR_MS)
    assert rig.due_ms() == T0 + HOUR_MS
    rig.now_ms += HOUR_MS
    assert rig.sweep()[1] == [AGENT]
    rig.acquire()
    assert rig.due_ms() == rig.now_ms + HOUR_MS


def test_riders_ride_with_the_next_wake_of_their_session(rig: Rig) -> None:
    rig.wake("c1", "rider", delay_ms=24 * HOUR_MS)
    rig.wake("c2", "rider", SIDE, delay_ms=24 * HOUR_MS)
    rig.wake("c3")
    batch = rig.begun(rig.leased().lease)
    assert ids(batch) == ["c1", "c3"]
    assert rig.waiting() == ["c2"]


def test_a_rider_becomes_a_wake_of_its_own(rig: Rig) -> None:
    rig.wake("c1", "rider", delay_ms=24 * HOUR_MS)
    rig.now_ms += 24 * HOUR_MS
    leased = rig.leased()
    assert [(lane.intent, lane.due_ms) for lane in leased.snapshot.lanes] == [("rider", rig.now_ms)]
    assert ids(rig.begun(leased.lease, intents=("rider",))) == ["c1"]
    assert rig.fate("c1") == "running"
