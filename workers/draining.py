"""The end of a worker: no new lease, what runs may finish within the grace period, the rest is handed back at once."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from celery import signals

from workers.app import serving
from workers.host import current_host, leaving

log = logging.getLogger(__name__)


class Draining:
    """Listens to Celery's warm shutdown. Forked children learn of it through two pipes, whose ends they wait for: leaving, hand back."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._leaving, self._hand_back_now = os.pipe(), os.pipe()

    def install(self) -> None:
        signals.worker_shutting_down.connect(self._shutting_down, weak=False)
        if serving.prefork:
            signals.worker_process_init.connect(self._child_started, weak=False)

    def _shutting_down(self, **_: object) -> None:
        if leaving.is_set():
            return  # asked twice
        # Celery consumes on until its loop comes round: a doorbell that it still takes must begin nothing.
        leaving.set()
        os.close(self._leaving[1])
        timer = threading.Timer(self._grace_s, self._hand_back)
        timer.daemon = True
        timer.start()

    def _hand_back(self) -> None:
        log.warning("grace period of %g s is over: what still runs is handed back", self._grace_s)
        if serving.prefork:
            os.close(self._hand_back_now[1])
        else:
            current_host().stop_signal.set()

    def _child_started(self, **_: object) -> None:
        if leaving.is_set():
            return  # forked while the worker leaves: it serves nothing
        # The child's copies of the writing ends must go, or it would never see the end of the pipes.
        os.close(self._leaving[1])
        os.close(self._hand_back_now[1])
        for read_fd, then in ((self._leaving[0], leaving.set), (self._hand_back_now[0], self._stop)):
            threading.Thread(target=_at_end_of, args=(read_fd, then), name="draining", daemon=True).start()

    def _stop(self) -> None:
        current_host().stop_signal.set()


def _at_end_of(read_fd: int, then: Callable[[], object]) -> None:
    os.read(read_fd, 1)
    then()
