"""The reasons of a heartbeat to end early, and who is woken by them."""

from __future__ import annotations

import threading

import pytest

from workers.runners import Control, Signal, Why


def test_there_is_no_reason_at_first() -> None:
    control = Control(60)
    assert control.why() is None
    assert control.wait(0) is None


def test_the_strongest_reason_wins() -> None:
    control = Control(60)
    control.stop.set()
    assert control.why() is Why.STOP
    control.lost.set()
    assert control.why() is Why.LOST
    late = Control(0)
    late.stop.set()
    assert late.why() is Why.TIMEOUT


@pytest.mark.parametrize("reason", [Why.LOST, Why.STOP])
def test_a_wait_ends_when_a_reason_appears(reason: Why) -> None:
    """Far longer waits than a test may take: only the signal can end them."""
    control = Control(900)
    seen: list[Why | None] = []
    waiting = threading.Thread(target=lambda: seen.append(control.wait(900)), daemon=True)
    waiting.start()
    {Why.LOST: control.lost, Why.STOP: control.stop}[reason].set()
    waiting.join(200)
    assert seen == [reason]


def test_a_wait_ends_at_the_time_limit() -> None:
    control = Control(0.05)
    assert control.wait(900) is Why.TIMEOUT
    assert control.remaining_s() == 0


def test_one_stop_serves_many_heartbeats() -> None:
    stop = Signal()
    controls = [Control(60, stop=stop) for _ in range(2)]
    stop.set()
    assert [control.why() for control in controls] == [Why.STOP, Why.STOP]


def test_a_signal_calls_its_listeners_until_they_left() -> None:
    signal, calls = Signal(), []
    with signal.calling(lambda: calls.append("in")):
        signal.set()
    signal.set()
    assert calls == ["in"]


def test_a_listener_that_comes_late_is_called_at_once() -> None:
    signal, calls = Signal(), []
    signal.set()
    with signal.calling(lambda: calls.append("late")):
        assert calls == ["late"]


def test_a_listener_is_never_called_after_it_left() -> None:
    """Leaving waits for a call that is running: what the callback uses may be closed afterwards."""
    signal, entered, release = Signal(), threading.Event(), threading.Event()
    left: list[str] = []

    def callback() -> None:
        entered.set()
        release.wait(200)
        left.append("called")

    def listen() -> None:
        with signal.calling(callback):
            listening.set()
            entered.wait(200)
        left.append("left")

    listening = threading.Event()
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert listening.wait(200)
    setter = threading.Thread(target=signal.set, daemon=True)
    setter.start()
    assert entered.wait(200)
    release.set()
    listener.join(200)
    setter.join(200)
    assert left == ["called", "left"]


def test_trust_is_told_at_the_start_and_at_each_renewal() -> None:
    told: list[int] = []
    control = Control(60, trust_ms=600_000)
    with control.renewing(told.append):
        control.renewed(5_000)
    control.renewed(7_000)
    assert 0 < told[0] <= 600_000
    assert told[1:] == [5_000]
    left_ms = control.trust_left_ms()
    assert left_ms is not None
    assert 0 < left_ms <= 7_000


def test_without_a_bound_nobody_is_told_one() -> None:
    told: list[int] = []
    control = Control(60)
    with control.renewing(told.append):
        assert told == []
    assert control.trust_left_ms() is None
