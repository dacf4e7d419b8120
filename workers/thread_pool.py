"""Threads that run heartbeats and routes, and tell the consumer's loop when one of them is free again.

Celery takes a message only while a slot is free, and its loop looks whether one is when something happens to it. The end of a task in a
thread is nothing that happens to it: with all slots taken, the next doorbell would lie until a timer goes off, for up to a second.
"""

from __future__ import annotations

import threading
from typing import Any

from celery.concurrency.thread import TaskPool
from kombu.asynchronous import get_event_loop


class ThreadPool(TaskPool):
    """Celery's pool of threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counting = threading.Lock()
        self._taken = 0

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        with self._counting:
            self._taken += 1
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(self._done)  # in the thread, after Celery took the task off its books
        return result

    def _done(self, _future: object) -> None:
        with self._counting:
            loop_may_sleep = self._taken >= self.limit
            self._taken -= 1
        if loop_may_sleep and (loop := get_event_loop()) is not None:
            loop.call_soon(_nothing)


def _nothing() -> None:
    """What is to be done is done by each turn of the loop."""
