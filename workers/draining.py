"""The end of a worker: no new lease, what runs may finish within the grace period, the rest is handed back at once.

A second signal ends the patience.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import signals

from workers.app import serving
from workers.host import leaving, running_host

log = logging.getLogger(__name__)
LOOK_S = 0.05  # after a second signal
ONE_WISH_S = 1.0  # signals within it say the same thing


class Draining:
    """Listens to Celery's warm shutdown. Forked children learn of it through two pipes, whose ends they wait for: leaving, hand back."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._leaving, self._hand_back_now = os.pipe(), os.pipe()
        self._asked_at, self._impatient = 0.0, False

    def install(self) -> None:
        signals.worker_shutting_down.connect(self._shutting_down, weak=False)
        signals.worker_ready.connect(self._consumer_ready, weak=False)
        if serving.prefork:
            signals.worker_process_init.connect(self._child_started, weak=False)

    def _consumer_ready(self, sender: Any, **_: object) -> None:
        # On a cold stop (SIGQUIT) Celery kills what runs, which its threads pool cannot: there it raises, tells nobody that it stops, and
        # waits for the heartbeats without bound. What runs is ours to end, in every pool.
        sender.cancel_active_requests = self._cold

    def _cold(self) -> None:
        self._impatient = True
        self._shutting_down()

    def _shutting_down(self, **_: object) -> None:
        # In a signal handler: nothing here may wait for a lock, so the words are said by a thread.
        if leaving.is_set():
            # A service manager signals the whole group, and the supervisor then each of its children: that is one wish.
            self._impatient = self._impatient or time.monotonic() - self._asked_at > ONE_WISH_S
            return
        self._asked_at = time.monotonic()
        # Celery consumes on until its loop comes round: a doorbell that it still takes must begin nothing.
        leaving.set()
        os.close(self._leaving[1])
        threading.Thread(target=self._be_patient, name="grace", daemon=True).start()

    def _be_patient(self) -> None:
        log.info("leaving: nothing begins here any more; what runs has %g s, or until a second signal", self._grace_s)
        until = time.monotonic() + self._grace_s
        while not self._impatient and time.monotonic() < until:
            time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))
        why = "asked again" if self._impatient else f"the grace period of {self._grace_s:g} s is over"
        log.warning("%s: what still runs is handed back", why)
        if serving.prefork:
            os.close(self._hand_back_now[1])
        elif host := running_host():  # a router has none
            host.stop_signal.set()

    def _child_started(self, **_: object) -> None:
        if leaving.is_set():
            return  # forked while the worker leaves: it serves nothing
        # The child's copies of the writing ends must go, or it would never see the end of the pipes.
        os.close(self._leaving[1])
        os.close(self._hand_back_now[1])
        for read_fd, then in ((self._leaving[0], leaving.set), (self._hand_back_now[0], self._stop)):
            threading.Thread(target=_at_end_of, args=(read_fd, then), name="draining", daemon=True).start()

    def _stop(self) -> None:
        if host := running_host():  # a child that has run nothing yet has none, and begins nothing any more
            host.stop_signal.set()


def _at_end_of(read_fd: int, then: Callable[[], object]) -> None:
    os.read(read_fd, 1)
    then()
