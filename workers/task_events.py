"""What Celery tells a monitor such as Flower about our tasks: every event, and nothing that a completion holds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.worker.request import Request

from dispatcher.tasks import exec_completed, wake_requested

log = logging.getLogger(__name__)
HIDDEN = "(not shown)"
GATHER_S = 0.1


class DiscreetRequest(Request):
    """A raw message of a foreign producer carries a command and its output, or a token; neither events nor `inspect` repeat them."""

    @property
    def argsrepr(self) -> str:
        return HIDDEN

    @property
    def kwargsrepr(self) -> str:
        return HIDDEN

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002  # Celery's signature; here it is always safe
        told: dict[str, Any] = super().info(safe=True)
        return told | {"args": HIDDEN, "kwargs": HIDDEN}


class LosslessDispatcher(EventDispatcher):
    """Celery 5.6 clears its buffer after publishing: what another thread of the pool appended meanwhile is lost.

    And it publishes at every turn of the worker's loop, which under load is for each event: here they are gathered for `GATHER_S`.
    """

    def __init__(self, *args: Any, on_send_buffered: Callable[[], object] | None = None, **more: Any) -> None:
        super().__init__(*args, on_send_buffered=self._flush_soon if on_send_buffered else None, **more)
        self._waiting = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def send(self, *args: Any, **fields: Any) -> Any:
        """Tries once. Celery repeats a worker's own ones without bound, in the loop that has to notice a dead connection or a SIGTERM."""
        return super().send(*args, **fields | {"retry": False})

    def _flush_soon(self) -> None:
        """Called by each event, between a doorbell and its heartbeat: it costs a look at a flag."""
        if self._thread is None or not self._thread.is_alive():
            self._closed = False  # a monitor may switch events off and on
            self._thread = threading.Thread(target=self._flush_now_and_then, name="task-events", daemon=True)
            self._thread.start()
        if not self._waiting.is_set():
            self._waiting.set()

    def _flush_now_and_then(self) -> None:
        while not self._closed:
            self._waiting.wait()
            time.sleep(GATHER_S)
            self._waiting.clear()  # before it publishes: an event that comes meanwhile wants another turn
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001  # kombu raises what its transport raises; monitors are told less, nothing is lost
                log.warning("task events: %s", error)

    def close(self) -> None:
        """After a reconnect there is another dispatcher; this one's thread ends."""
        self._closed = True
        self._waiting.set()
        super().close()

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        super().flush(errors=errors, groups=False)
        if not groups:
            return
        with self.mutex:
            for group, events in list(self._group_buffer.items()):
                taken = events[:]
                if taken:
                    self._publish(taken, self.producer, f"{group}.multi")
                    del events[: len(taken)]  # threads append at the end, so these are the ones that were published


class LosslessEvents(Events):
    """The events of an application, sent by the dispatcher above."""

    dispatcher_cls = LosslessDispatcher


def install(*apps: Celery) -> None:
    """For these applications and this process. Before a worker starts."""
    for app in apps:
        app.events_cls = LosslessEvents
    for task in (exec_completed, wake_requested):
        task.Request = DiscreetRequest
