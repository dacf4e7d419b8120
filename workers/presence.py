"""The presence of this process: one thread that keeps its presence connection up and says when it is not."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

from dispatcher.names import host_name
from dispatcher.store.opened import Store
from dispatcher.store.presence import PresenceLine, PresenceLost

log = logging.getLogger(__name__)
RETRY_S = 0.1
LISTEN_S = 1.0


def holder_name(role: str, serves: str) -> str:
    """A name that no other process has or will have: role, what it serves, host, process, chance."""
    return f"{role}.{serves}.{host_name()}.{os.getpid()}.{secrets.token_hex(4)}"


class Presence:
    """Keeps this process present under `holder`.

    `on_lost(lost_at, server_down)` is called when the connection broke and after each failed try to make it again; times are
    monotonic. `on_back()` when it stands again. `on_word()` when somebody nudged this process over it.
    """

    def __init__(self, store: Store, holder: str) -> None:
        self.holder = holder
        self._line = PresenceLine(store, holder)
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.on_lost: Callable[[float, bool], object] | None = None
        self.on_back: Callable[[], object] | None = None
        self.on_word: Callable[[], object] | None = None

    def start(self) -> None:
        """Idempotent."""
        with self._lock:
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
                self._thread.start()

    def wait_present(self, timeout_s: float) -> bool:
        """True once this process is present. Before that it must not take a lease: it would look dead."""
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        """Leaves. Tolerates twice and never started."""
        self._stop.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(LISTEN_S + 1)

    def _run(self) -> None:
        lost_at = time.monotonic()
        while not self._stop.is_set():
            try:
                moved = self._line.connect()
                self._ready.set()
                if moved and self.on_lost is not None:
                    self.on_lost(lost_at, True)  # nobody reclaims early on a primary that is new to him
                if self.on_back is not None:
                    self.on_back()
                while not self._stop.is_set():
                    if self._line.listen(LISTEN_S) and self.on_word is not None:
                        self.on_word()
            except Exception as error:  # if this thread ended, the process would never take a lease again
                if not isinstance(error, PresenceLost):
                    log.exception("presence %s failed; trying again", self.holder)
                elif self._ready.is_set():
                    log.warning("%s", error)
                if self._ready.is_set():
                    lost_at = time.monotonic()
                self._ready.clear()
                if self.on_lost is not None:
                    self.on_lost(lost_at, isinstance(error, PresenceLost) and error.server_down)
                self._stop.wait(RETRY_S)
        self._ready.clear()
        self._line.close()
