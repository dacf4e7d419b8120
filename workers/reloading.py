"""Another configuration without a restart: on SIGHUP for one process, on `wake reload` for all of a store."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from dispatcher.app import adopt_config, current_config
from dispatcher.config import Config
from dispatcher.config.reloading import reloaded
from dispatcher.core.errors import ConfigError, StoreUnavailable
from dispatcher.store.opened import Store

log = logging.getLogger(__name__)
LOOK_S = 1.0
# Shared with forked children, which compare it before each heartbeat.
_generation = mmap.mmap(-1, 8)


def generation() -> int:
    """How often this worker, and the children it forked, got another configuration."""
    return int(struct.unpack("q", _generation[:8])[0])


class Reloading:
    """Looks, in the loop of its process, whether a reload is asked for. A file that is not usable changes nothing."""

    def __init__(self, store: Store, holder: str, apply: Callable[[Config], object]) -> None:
        """`apply` is called with the new configuration, in the thread of the loop, after it became that of the process."""
        self._store, self._holder, self._apply = store, holder, apply
        self._hung_up = False
        self._seen: int | None = None
        self._look_at = 0.0

    def listen(self) -> None:
        """Takes SIGHUP. Called in the main thread, after Celery has put its own handler there, which would replace the process."""
        signal.signal(signal.SIGHUP, self._on_hup)

    def _on_hup(self, *_: object) -> None:
        self._hung_up = True  # and nothing else: a signal handler must not wait for a lock

    def check(self) -> None:
        """Cheap: asks the store at most once a second."""
        now = time.monotonic()
        wanted = self._seen
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            # While the server is away, of which the loop itself tells, nobody knows what was asked for.
            with suppress(StoreUnavailable):
                wanted = self._store.reloads.wanted()
                if self._seen is None:
                    self._seen = wanted  # what was asked for before this process started is in force
        if self._hung_up or wanted != self._seen:
            self._hung_up, self._seen = False, wanted
            self._reload(wanted or 0)

    def _reload(self, number: int) -> None:
        problems: list[str] = []
        restart: tuple[str, ...] = ()
        try:
            fresh = reloaded(current_config())
        except ConfigError as error:
            problems = list(error.problems)
            log.error("reload refused, the configuration in force stays: %s", "; ".join(problems))
        else:
            restart = fresh.restart
            adopt_config(fresh.config)
            self._apply(fresh.config)
            _generation[:8] = struct.pack("q", generation() + 1)
            log.info("reloaded %s%s", fresh.config.source or "the defaults", _told(restart))
        try:
            self._store.reloads.answer(self._holder, number, problems, list(restart))
        except StoreUnavailable as error:
            log.warning("%s", error)


def follow(seen: int) -> tuple[int, Config | None]:
    """For a forked child: the generation now, and the configuration to change to, None when it is the one in force or not usable."""
    now = generation()
    if now == seen:
        return seen, None
    try:
        fresh = reloaded(current_config())
    except ConfigError as error:
        log.error("pid=%s: reload refused, the configuration in force stays: %s", os.getpid(), error)
        return now, None
    return now, adopt_config(fresh.config)


def _told(restart: tuple[str, ...]) -> str:
    return f"; {', '.join(restart)} changed, too, and take effect with the next start only" if restart else ""
