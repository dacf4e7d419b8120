"""The page of metrics as this host serves it: of several routers the first that gets the port, and the next when that one has ended."""

from __future__ import annotations

import logging
import threading
from wsgiref.simple_server import WSGIServer

from dispatcher.config import Config
from dispatcher.metrics.measuring import Measuring
from dispatcher.store.opened import Store
from workers.loop import Loop

log = logging.getLogger(__name__)
TRY_S = 5.0


class MetricsPage(Loop):
    """Tries for the port until it has it. Without a port it does nothing at all."""

    def __init__(self, store: Store, config: Config) -> None:
        super().__init__("metrics")
        self._settings = config.metrics
        self._measuring = Measuring(store, config)
        self._serving: tuple[WSGIServer, threading.Thread] | None = None
        self._said = False

    def use(self, store: Store, config: Config) -> None:
        """Another configuration from the next scrape on; the address stays."""
        self._measuring.use(store, config)

    def start(self) -> None:
        if self._settings.port:
            super().start()

    def run_once(self) -> float:
        if self._serving is None:
            from prometheus_client import start_http_server  # here, so that only who serves the page imports it

            from dispatcher.metrics.page import registry

            host, port = self._settings.host, self._settings.port
            try:
                self._serving = start_http_server(port, host, registry(self._measuring.measure, per_agent=self._settings.per_agent))
                log.info("metrics: http://%s:%d/metrics", host, port)
            except OSError as error:
                if not self._said:
                    log.info("metrics: %s:%d: %s; another router may have it, so it is tried again", host, port, error)
                    self._said = True
        return TRY_S

    def stop(self) -> None:
        super().stop()
        if self._serving is not None:
            server, _ = self._serving
            self._serving = None
            server.shutdown()
            server.server_close()
