"""The end of a worker: no new lease, what runs may finish within the grace period, the rest is handed back at once."""

from __future__ import annotations

import logging
import os
import threading

from celery import signals

from workers.app import serving
from workers.host import current_host

log = logging.getLogger(__name__)


class Draining:
    """Listens to Celery's warm shutdown. Forked children learn of it through a pipe, whose end they wait for."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._read_fd, self._write_fd = os.pipe()

    def install(self) -> None:
        signals.worker_shutting_down.connect(self._shutting_down, weak=False)
        if serving.prefork:
            signals.worker_process_init.connect(self._child_started, weak=False)

    def _shutting_down(self, **_: object) -> None:
        timer = threading.Timer(self._grace_s, self._hand_back)
        timer.daemon = True
        timer.start()

    def _hand_back(self) -> None:
        log.warning("grace period of %.0f s is over: what still runs is handed back", self._grace_s)
        if serving.prefork:
            os.close(self._write_fd)
        else:
            current_host().stop_signal.set()

    def _child_started(self, **_: object) -> None:
        # The child's copy of the writing end must go, or it would never see the end of the pipe.
        os.close(self._write_fd)
        threading.Thread(target=self._wait_for_end, name="draining", daemon=True).start()

    def _wait_for_end(self) -> None:
        os.read(self._read_fd, 1)
        current_host().stop_signal.set()
