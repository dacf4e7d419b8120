"""What workers observe reaches the store, and from there the page."""

from __future__ import annotations

import pytest

from dispatcher.config import Config
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.metric_table import Sample, Spread
from dispatcher.core.models import Busy, Failed, Ran, Skipped
from dispatcher.metrics.balancing import BalanceWatch
from dispatcher.metrics.measuring import Measuring
from tests.support.desk import Desk
from tests.support.shift import TOML, Scripted, Shift
from workers.tally import Tally


def measured(desk: Desk, config: Config) -> dict[tuple[str, ...], float | tuple[int, float]]:
    """(name, labels …) -> value; of a histogram how many and their sum."""
    found = Measuring(desk.store, config).measure()
    return {(one.name, *one.labels): one.value if isinstance(one, Sample) else (sum(one.counts), one.total) for one in found}


def test_the_course_of_heartbeats(desk: Desk) -> None:
    """Two completions that wait for each other, a busy target, a skip, a failure and its retry."""
    shift = Shift(desk, TOML, ops=Scripted(Busy(retry_after_ms=1), Ran(), Skipped(reason="precheck: no"), Failed(error="boom"), Ran()))
    shift.came("c1", "c2")
    assert shift.beat() == "busy"
    desk.store.client.delete(desk.store.keys.agent("agents", "ops")["blocks"])
    desk.store.client.zadd(desk.store.keys.agent("agents", "ops")["lane_event"], {"agent:ops:main": 1})
    desk.store.client.zadd(desk.store.keys.agent("agents", "ops")["due"], {"ops": 1})
    assert shift.beat() == "ran"
    shift.came("c3")
    assert shift.beat() == "skipped"
    shift.came("c4")
    assert shift.beat() == "failed"
    shift.tally.run_once()
    shift.tally.run_once()
    found = measured(desk, shift.config)
    outcomes = {labels[2]: value for labels, value in found.items() if labels[0] == "wake_heartbeats_total"}
    assert outcomes == {"busy": 1, "ran": 1, "skipped": 1, "failed": 1}
    assert found["wake_heartbeats_avoidable_total", "agents", "precheck"] == 1
    assert found["wake_batch_completions", "agents"] == (4, 6), "of 2, 2, 1 and 1: the busy one as well"
    started, settled = found["wake_start_delay_seconds", "agents"], found["wake_settle_delay_seconds", "agents"]
    assert isinstance(started, tuple)
    assert isinstance(settled, tuple)
    assert (started[0], settled[0]) == (6, 3)
    assert 0 < settled[1] < 200
    shift.close()


def test_deferrals_and_foreign_doorbells(desk: Desk) -> None:
    shift = Shift(desk, TOML.replace("min_spacing_ms = 0", "min_spacing_ms = 3600000"), ops=Scripted())
    shift.came("c1")
    assert shift.beat() == "ran"
    shift.came("c2")
    assert shift.beat() == "deferred"
    assert desk.store.mailbox.move("ops", "agents", "elsewhere", "elsewhere") == "MOVED"
    assert shift.beat() == "foreign"
    shift.tally.stop()
    found = measured(desk, shift.config)
    assert found["wake_deferrals_total", "agents", "min-spacing"] == 1
    assert found["wake_foreign_doorbells_total", "agents"] == 1
    assert found["wake_stale_tokens_total", "agents"] == 0, "counted from the start, so that its first is seen by a rate"
    shift.close()


def test_a_worker_that_was_away_too_long(desk: Desk) -> None:
    """Its late end is a stale token, and somebody else's start a take-over."""
    late = Scripted(during=lambda _: overtaken())
    shift = Shift(desk, TOML, ops=late)
    other = Shift(desk, TOML, holder="h2", ops=Scripted())

    def overtaken() -> None:
        lease = desk.store.keys.agent("agents", "ops")["lease"]
        desk.store.client.hset(lease, "until", 1)
        assert other.beat() == "ran"

    shift.came("c1")
    assert shift.beat() == "ran"
    shift.tally.run_once()
    found = measured(desk, shift.config)
    assert (found["wake_takeovers_total", "agents"], found["wake_stale_tokens_total", "agents"]) == (1, 1)
    shift.close()
    other.close()


def test_counts_wait_for_the_server(desk: Desk) -> None:
    """What could not be added is added the next time."""
    observed = desk.store.observed

    class Away:
        down = True

        def add(self, pool: str, counts: dict[str, int]) -> None:
            if self.down:
                raise StoreUnavailable("count: away")
            observed.add(pool, counts)

    away = Away()
    tally = Tally(away, "agents")  # type: ignore[arg-type]  # as much of it as a tally needs
    tally.count("wake_stale_tokens_total")
    with pytest.raises(StoreUnavailable):
        tally.run_once()
    tally.count("wake_stale_tokens_total")
    away.down = False
    tally.run_once()
    assert observed.of_pools(["agents"]) == {"agents": {"wake_stale_tokens_total": 2}}


def test_a_difference_in_the_books_is_told_when_it_stays() -> None:
    readings = iter([0, 3, 0, 2, 2, None, 0])
    watch = BalanceWatch(lambda: next(readings), every_s=0, suspicious_s=0)
    assert [watch.read() for _ in range(7)] == [0, 0, 0, 0, 2, None, 0]
    numbers = iter(range(7, 10))
    slow = BalanceWatch(lambda: next(numbers), every_s=60, suspicious_s=60)
    assert [slow.read() for _ in range(3)] == [None] * 3
    assert next(numbers) == 8, "it was read once"


def test_scrapes_that_come_together_share_one_reading(desk: Desk) -> None:
    measuring = Measuring(desk.store, desk.config)
    assert measuring.measure() is measuring.measure()
    assert all(isinstance(one, Sample | Spread) for one in measuring.measure())
