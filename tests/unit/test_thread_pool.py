"""The end of a task in a thread turns the consumer's loop: a slot is free, and the next doorbell can be taken."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from kombu.asynchronous import Hub, get_event_loop, set_event_loop

from tests.support.gates import wait_until
from workers.thread_pool import ThreadPool


class Sleepy(Hub):
    """A loop of which nobody wants anything sleeps for longer than the test lasts."""

    def fire_timers(self, *_: Any, **__: Any) -> int:
        return 3600


@pytest.mark.timeout(60)
def test_the_loop_turns_when_a_task_has_ended() -> None:
    before = get_event_loop()
    hub: Any = Sleepy()  # type: ignore[no-untyped-call]  # kombu's loop has no types
    set_event_loop(hub)
    pool, may_end, booked_off, turned, sleeps = ThreadPool(limit=1), *(threading.Event() for _ in range(4))
    hub.on_tick.add(lambda: turned.set() if booked_off.is_set() else None)
    hub.on_tick.add(sleeps.set)
    silent, other = socket.socketpair()
    hub.add_reader(silent, time.monotonic)  # without one it does not wait, it looks ten times a second
    hub.timer.call_after(3600, time.monotonic)
    loop = threading.Thread(target=hub.run_forever, daemon=True)
    try:
        pool.start()
        loop.start()
        wait_until(sleeps.is_set, 30, "the loop has nothing to do")
        pool.apply_async(may_end.wait, callback=lambda _result: booked_off.set())
        may_end.set()
        wait_until(turned.is_set, 30, "the loop went round after the task was booked off")
    finally:
        pool.stop()
        hub.stop()
        hub.call_soon(time.monotonic)
        loop.join(30)
        set_event_loop(before)
        hub.close()
        silent.close()
        other.close()
