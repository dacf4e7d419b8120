"""Celery bootsteps: what runs beside the tasks in a worker's main process. Started after the pool, stopped before it."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import bootsteps, signals

from dispatcher.app import app as router_app
from dispatcher.app import current_config, current_store
from dispatcher.config import Config
from dispatcher.doorbell import Doorbell
from dispatcher.embedded import server_url
from dispatcher.pulse import Pulse
from dispatcher.store.layout import check_layout
from dispatcher.store.opened import open_store
from dispatcher.tasks import router
from workers import task_events, tasks
from workers.app import serving
from workers.draining import Draining
from workers.host import current_host, leaving, running_host
from workers.metrics_page import MetricsPage
from workers.presence import Presence, holder_name
from workers.reloading import Reloading
from workers.router_loop import RouterLoop
from workers.sweeper import Sweeper
from workers.tracing import flush_tracing
from workers.upkeep import Upkeep

log = logging.getLogger(__name__)


class AgentSide(bootsteps.StartStopStep):
    """What an agent worker runs beside its heartbeats: sweeper, upkeep, pulse, looks for reloads; under prefork its presence, too."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        config = current_config()
        self._store = open_store(config, server_url(config), client_name=f"wake-sweeper-{os.getpid()}")
        check_layout(self._store.client, self._store.keys)
        self._sweeper = Sweeper(self._store, config, (serving.pool,), Doorbell(tasks.app, self._store, config))
        self._presence: Presence | None = None
        self._pulse = Pulse(config.data_dir, holder_name("worker", serving.pool))
        self._upkeep = Upkeep(self._store, serving.pool, Doorbell(tasks.app, self._store, config))

    def _round(self) -> None:
        self._pulse.beat()
        self._reloading.check()

    def _use(self, config: Config) -> None:
        if not serving.prefork:
            current_host().use(config)
        self._upkeep.configuration_changed()

    def start(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        if serving.prefork:
            # The children hold the leases; this one says that the worker is there.
            self._presence = Presence(self._store, holder_name("worker", serving.pool))
            self._presence.start()
        presence = self._presence or current_host().presence
        self._reloading = Reloading(self._store, presence.holder, self._use)
        self._reloading.listen()
        self._sweeper.on_round = self._round
        self._sweeper.start()
        self._upkeep.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        self._upkeep.stop()
        self._sweeper.stop()
        self._pulse.stop()
        if self._presence is not None:
            self._presence.stop()

    terminate = stop


class RouterSide(bootsteps.StartStopStep):
    """What a router runs beside its tasks: timer, presence, pulse, looks for reloads, the page of metrics."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        store = current_store()
        check_layout(store.client, store.keys)
        store.inbox.prepare()
        self._loop = RouterLoop(store, current_config(), router())
        self._presence = Presence(store, holder_name("router", "inbox"))
        self._pulse = Pulse(current_config().data_dir, self._presence.holder)
        self._reloading = Reloading(store, self._presence.holder, self._use)
        self._page = MetricsPage(store, current_config())
        self._loop.on_round = self._round
        self._furnish()

    def _round(self) -> None:
        self._pulse.beat()
        self._reloading.check()

    def _furnish(self) -> None:
        router().drain.on_page = self._pulse.beat  # a round lasts as long as the inbox is not empty
        router().drain.leaving = leaving.is_set

    def _use(self, config: Config) -> None:
        router().drain.leaving = lambda: True  # who stays, does so with the old configuration
        router.cache_clear()
        self._furnish()
        self._loop.use(current_store(), config, router())
        self._page.use(current_store(), config)

    def start(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        self._presence.start()
        self._reloading.listen()
        self._loop.start()
        self._page.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        self._page.stop()
        self._loop.stop()
        self._pulse.stop()
        self._presence.stop()

    terminate = stop


def _last_words(**_: object) -> None:
    """What this process counted and traced last. After its pool: heartbeats that may finish are still to be counted."""
    if host := running_host():
        host.tally.stop()
        flush_tracing()


def install() -> None:
    """Adds the steps to both applications, and how they report to monitors, once per process."""
    tasks.app.steps["worker"].add(AgentSide)
    router_app.steps["worker"].add(RouterSide)
    task_events.install(tasks.app, router_app)
    signals.worker_shutdown.connect(_last_words, weak=False)
    signals.worker_process_shutdown.connect(_last_words, weak=False)  # of a forked child
    Draining(current_config().lease.grace_ms / 1000).install()
