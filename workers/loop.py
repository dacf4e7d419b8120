"""One loop, one thread: what sweeper and router's timer have in common. A bad round is logged, the next one follows."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from dispatcher.core.errors import WakeError

log = logging.getLogger(__name__)
AFTER_TROUBLE_S = 0.5
END_S = 5.0


class Loop(ABC):
    """`start`/`stop` tolerate twice and never started; tests call `run_once`. `on_round` is called after each round, a bad one too."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stop = threading.Event()
        self._soon = threading.Event()
        self._thread: threading.Thread | None = None
        self.on_round: Callable[[], object] | None = None

    @abstractmethod
    def run_once(self) -> float:
        """One round. Returns the seconds until the next."""

    def start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._soon.clear()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def run_soon(self) -> None:
        """The next round begins now, or after the one that runs."""
        self._soon.set()

    def stop(self) -> None:
        self._stop.set()
        self._soon.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(END_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause_s = self.run_once()
            except WakeError as error:
                log.warning("%s: %s", self._name, error)
                pause_s = AFTER_TROUBLE_S
            except Exception:  # one bad item must not stop the loop that serves all others
                log.exception("%s failed; the next round follows", self._name)
                pause_s = AFTER_TROUBLE_S
            if self.on_round is not None:
                self.on_round()
            self._soon.wait(pause_s)
            self._soon.clear()
