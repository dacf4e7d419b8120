"""What becomes of a batch: busy, failed, too long, quiet for good, waiting for its time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import CALLABLE, PATIENCE_S, Gateway, ids
from tests.support.requests import pid_in, wait_gone

FAST_RETRY = {"retry_base_ms": 50, "retry_max_ms": 200}


def served(gateway: Gateway, **tables: dict[str, Any]) -> Gateway:
    gateway.configure(**tables)
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    return gateway


def test_busy_dissolves_the_batch(gateway: Gateway) -> None:
    """The same completions again, with what came meanwhile, in a new batch of attempt 1; nothing counts as failed."""
    gateway.plan(exit=75)
    served(gateway)
    sent = ids("b", 3)
    gateway.submit(*sent)
    gateway.started(1)
    gateway.submit("late")
    wait_until(lambda: "late" in gateway.beats()[-1].ids, PATIENCE_S, "the late one has met a busy agent with the others")
    gateway.plan()
    gateway.quiet(settled=4)
    beats = gateway.beats()
    assert_one_at_a_time(beats)
    *_, before, last = beats
    assert list(beats[0].ids) == sent
    assert sorted(last.ids) == sorted([*sent, "late"])
    assert {beat.attempt for beat in beats} == {1}
    assert len({beat.batch_id for beat in beats}) == len(beats)
    assert before.ended is not None
    assert last.started - before.ended >= 1.0  # a busy target is left alone for a second
    assert "failed" not in gateway.records()


def test_a_failed_heartbeat_is_repeated_as_the_same_batch(gateway: Gateway) -> None:
    """Exit 1 once: the same ids as attempt 2 after its backoff, and what came meanwhile in a batch of its own."""
    gateway.plan(exits={"1": 1})
    served(gateway, defaults={"retry_base_ms": 1000})
    gateway.submit("c1", "c2")
    wait_until(lambda: "failed" in gateway.records(), PATIENCE_S, "the first attempt has failed")
    gateway.plan()
    gateway.submit("c3")
    gateway.quiet(settled=3)
    first, second, third = gateway.beats()
    assert (first.batch_id, first.ids, 2) == (second.batch_id, second.ids, second.attempt)
    assert first.token < second.token
    assert first.ended is not None
    assert second.started - first.ended >= 0.8  # the base less the jitter
    assert third.ids == ("c3",)


def test_a_batch_that_fails_for_good_is_set_aside_as_a_whole_and_revivable(gateway: Gateway) -> None:
    """After max_failures attempts: dead letters with the errors; revived they are one heartbeat."""
    gateway.plan(exit=3)
    served(gateway, defaults=FAST_RETRY | {"max_failures": 3})
    sent = ids("d", 2)
    gateway.submit(*sent)
    gateway.quiet(dead=2)
    beats = gateway.beats()
    assert [beat.attempt for beat in beats] == [1, 2, 3]
    assert_each_once(beats, sent)
    letters = list(gateway.store.ledger.dead_letters())
    assert {(x.completion_id, x.reason, x.agent_id, x.attempts) for x in letters} == {(i, "attempts-exhausted", "ops", 3) for i in sent}
    assert all("exit code 3" in error for letter in letters for error in letter.errors)
    gateway.plan()
    for completion_id in sent:
        assert gateway.store.mailbox.revive("ops", "agents", completion_id).status == "REVIVED"
    gateway.quiet(accepted=2, settled=2, dead=0)
    revived = gateway.beats()[3:]
    assert sorted(i for beat in revived for i in beat.ids) == sent


@pytest.mark.slow
def test_the_time_limit_ends_the_whole_group(gateway: Gateway) -> None:
    """Command and child, even when they ignore SIGTERM; the outcome is `timeout`. A slow machine has the time to start both."""
    gateway.plan(gate="never", stubborn=True, child="child")
    served(gateway, defaults=FAST_RETRY | {"time_limit_s": 10, "max_failures": 1})
    gateway.submit("slow")
    gateway.quiet(dead=1)
    (beat,) = gateway.beats()
    wait_gone(beat.pid, pid_in(gateway.folder / "child"))
    (letter,) = gateway.store.ledger.dead_letters()
    assert letter.errors == ("timeout",)


@pytest.mark.slow
def test_a_callable_that_ignores_its_limit_keeps_the_lease_until_it_returns(gateway: Gateway) -> None:
    """It is asked to give up; while it goes on, for longer than the lease, nobody else runs its agent."""
    gateway.plan(gate="returns")
    served(
        gateway,
        defaults=FAST_RETRY | {"runner": CALLABLE, "time_limit_s": 0.5},
        lease={"ttl_ms": 10_000, "renew_ms": 500, "margin_ms": 500},
    )
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    wait_until(lambda: any(beat.cancelled for beat in gateway.beats()), PATIENCE_S, "the callable was asked to give up")
    first_end_ms = gateway.lease_ends_ms()
    gateway.submit("c2")
    wait_until(lambda: gateway.store.ledger.now_ms() > first_end_ms, PATIENCE_S, "the lease would have ended without renewals")
    assert len(gateway.beats()) == 1
    gateway.plan()
    gateway.open("returns")
    gateway.quiet(settled=2)
    beats = gateway.beats()
    assert_one_at_a_time(beats)
    assert (beats[1].batch_id, beats[1].attempt, beats[1].ids) == (beats[0].batch_id, 2, ("c1",))
    assert beats[2].ids == ("c2",)


@pytest.mark.slow
def test_spacing_defers_and_keeps_its_time_over_a_restart_of_everything(gateway: Gateway) -> None:
    """Deferred, then server, router and worker go down and come back: one heartbeat, not before its time, with every id."""
    spacing_ms = 15_000
    served(gateway, defaults={"min_spacing_ms": spacing_ms})
    gateway.submit("first")
    gateway.quiet(settled=1)
    gateway.submit(*ids("x", 5))
    wait_until(lambda: "deferred" in gateway.records(), PATIENCE_S, "the agent was deferred")
    for worker in gateway.workers:
        worker.close()
    gateway.server.restart()
    assert gateway.store.ledger.balance().pending == 5
    gateway.submit("joined")
    gateway.start_router()
    wait_until(lambda: gateway.store.ledger.balance().pending == 6, PATIENCE_S, "the late one has joined")
    gateway.start_worker()
    gateway.quiet(settled=7)
    first, second = gateway.beats()
    assert sorted(second.ids) == ["joined", *ids("x", 5)]
    starts = [record["at"] for record in gateway.store.ledger.records("ops") if record["what"] == "begun"]
    assert starts[1] - starts[0] >= spacing_ms
    assert second.started - first.started >= spacing_ms / 1000 - 0.5
    reasons = {why for record in gateway.store.ledger.records("ops") if record["what"] == "deferred" for why in [str(record["detail"])]}
    assert all("min-spacing" in why for why in reasons)
