"""Threads that run heartbeats and routes, and tell the consumer's loop when one of them is free again.

Celery takes a message only while a slot is free, and its loop looks whether one is whenever something happens to it. The end of a task in a
thread is nothing that happens to it: with all slots taken, the next doorbell would lie until a timer goes off, for up to a second.
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.thread import TaskPool
from kombu.asynchronous import get_event_loop


class ThreadPool(TaskPool):
    """Celery's pool of threads."""

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(_turn_the_loop)  # in the thread, after Celery took the task off its books
        return result


def _turn_the_loop(_future: object) -> None:
    if (loop := get_event_loop()) is not None:
        loop.call_soon(_nothing)


def _nothing() -> None:
    """What is to be done is done by each turn of the loop."""
