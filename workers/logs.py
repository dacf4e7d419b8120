"""What a process of ours says: one line per event on stderr. Celery is kept from setting up its own."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TextIO

from celery import signals
from celery.apps import worker as celery_worker

from dispatcher.app import current_config
from workers.log_context import current_ids
from workers.log_limit import Limiter
from workers.log_lines import Lines, secrets_of

CHATTY = ("celery.worker.strategy", "celery.app.trace", "kombu")  # lines about single tasks
Kind = tuple[str, int, str]


def install() -> None:
    """Replaces the handlers of the root logger as [logging] says. Raises ConfigError."""
    config = current_config()
    settings, secrets = config.logging, secrets_of(config.redis_url())

    def configure(**_: object) -> None:
        handler = BoundedHandler(Limiter(settings.burst, settings.burst_ms / 1000))
        handler.setFormatter(Lines(settings.format, secrets))
        logging.basicConfig(level=settings.level, handlers=[handler], force=True)
        logging.captureWarnings(True)
        for name in CHATTY:
            logging.getLogger(name).setLevel("WARNING")

    signals.setup_logging.connect(configure, weak=False)
    configure()
    if settings.format == "json":
        # Celery's signal handlers write plain words past logging, straight to a descriptor, as a handler must.
        celery_worker.safe_say = _say_as_json


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes lines with the ids of their heartbeat, and counts instead of repeating in a storm. The kind of a line is its template."""

    def __init__(self, limiter: Limiter[Kind], stream: TextIO | None = None) -> None:
        super().__init__(stream or sys.stderr)
        self._limiter = limiter
        self._timer: threading.Timer | None = None
        self._timer_pid = 0

    def handle(self, record: logging.LogRecord) -> bool:
        vars(record)["wake_ids"] = current_ids()
        return bool(super().handle(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the handler's lock."""
        now_s = time.monotonic()
        self._tell(self._limiter.overdue(now_s))
        if self._limiter.admits((record.name, record.levelno, str(record.msg)), now_s):
            super().emit(record)
        else:
            self._tell_later()

    def close(self) -> None:
        """Tells what it held back."""
        with self.lock or threading.RLock():
            if self._timer is not None:
                self._timer.cancel()
            self._tell(self._limiter.overdue(time.monotonic(), all_of_them=True))
        super().close()

    def _tell(self, held_back: list[tuple[Kind, int]]) -> None:
        for (name, level, template), count in held_back:
            record = logging.LogRecord(name, level, "", 0, "suppressed %d more lines like: %s", (count, template), None)
            super().emit(record)

    def _tell_later(self) -> None:
        # A forked child inherits the timer without its thread.
        if self._timer is not None and self._timer_pid == os.getpid():
            return
        self._timer, self._timer_pid = threading.Timer(self._limiter.window_s, self._time_is_up), os.getpid()
        self._timer.daemon = True
        self._timer.start()

    def _time_is_up(self) -> None:
        with self.lock or threading.RLock():
            self._timer = None
            self._tell(self._limiter.overdue(time.monotonic()))


def _say_as_json(message: str, _: object = None) -> None:
    record = logging.LogRecord("celery.worker", logging.INFO, "", 0, "%s", (message,), None)
    os.write(2, f"{Lines('json').format(record)}\n".encode())
