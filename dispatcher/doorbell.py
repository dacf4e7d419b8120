"""The doorbell: a Celery message that says "look into this mailbox". It may be lost, doubled or late; the due index is the truth."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celery import Celery

from dispatcher import names
from dispatcher.config import Config
from dispatcher.hints import Hints
from dispatcher.homes import queue_of
from dispatcher.store.opened import Store

log = logging.getLogger(__name__)


class Doorbell:
    """Rings agents. Publishing errors are logged and swallowed: the sweep rings again."""

    def __init__(self, app: Celery, store: Store, config: Config) -> None:
        self._store, self._config = store, config
        self._hints = Hints(app, names.HEARTBEAT)

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        """One doorbell for each (agent id, pool), in one round trip. Returns how many went out: all or, on an error, 0."""
        bells = list(agents)
        if not bells:
            return 0
        try:
            self._hints.publish(self._store.caller.wire, [(queue_of(self._config, *bell), bell[:1]) for bell in bells])
        except Exception as error:  # noqa: BLE001  # kombu, Celery or the connection; a doorbell is a hint, whatever went wrong
            log.warning("ring %d agents: %s; the sweep rings again", len(bells), error)
            return 0
        return len(bells)
