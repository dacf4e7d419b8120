"""Time limits: one thread for all of a process, because one for each heartbeat cost more than many a heartbeat."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
NEVER = float("inf")


class Deadlines:
    """Calls back at given times. Safe for threads, and in a child that was forked while nothing was waited for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[object, tuple[float, Callable[[], object]]] = {}
        self._looks_at = NEVER
        self._thread: threading.Thread | None = None

    @contextmanager
    def calling_at(self, at: float, callback: Callable[[], object]) -> Iterator[None]:
        """`callback` is called at `at` (monotonic), by a thread of ours, unless the block was left. It must not block.

        Once the block was left, no call is running or will come.
        """
        mine = object()
        with self._changed:
            self._waiting[mine] = at, callback
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif at < self._looks_at:
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._waiting.pop(mine, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                for mine, (at, callback) in list(self._waiting.items()):
                    if at <= now:
                        del self._waiting[mine]
                        _call(callback)
                self._looks_at = min((at for at, _ in self._waiting.values()), default=NEVER)
                self._changed.wait(None if self._looks_at == NEVER else min(self._looks_at - now, threading.TIMEOUT_MAX))


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:  # if this thread ended, no time limit of this process would be kept any more
        log.exception("at a time limit")


deadlines = Deadlines()
