"""`wake up`: server, router and workers as processes of their own. Restarts what dies; Ctrl-C drains in order."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from dispatcher.app import current_config, forget_current
from dispatcher.config import Config
from dispatcher.config.server_url import ServerUrl
from dispatcher.core.errors import EmbeddedServerError, WakeError
from dispatcher.embedded import EmbeddedServer, server_url
from dispatcher.store.opened import open_store
from workers import logs
from workers.flower import require_flower
from workers.launch import SUPERVISED, follow_supervisor
from workers.web import require_http

log = logging.getLogger("wake")
CHECK_S = 0.2
STABLE_S = 10.0
LONGEST_PAUSE_S = 10.0
EXTRA_GRACE_S = 10.0  # after the grace period, until a worker that does not end is killed


@dataclass
class Child:
    """One process under supervision."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = 0.0
    restart_at: float = 0.0

    def start(self) -> None:
        # A session of its own, so that Ctrl-C reaches the supervisor alone; the pipe tells the child when the supervisor is gone.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers", *self.arguments],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | {SUPERVISED: "1"},
        )
        self.started_at = time.monotonic()

    def check(self) -> None:
        """Starts it, or starts it again after a pause that doubles while it keeps dying."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None and self.restart_at == 0.0:
            lived_s = now - self.started_at
            self.pause_s = 0.2 if lived_s > STABLE_S else min(max(0.2, self.pause_s * 2), LONGEST_PAUSE_S)
            self.restart_at = now + self.pause_s
            log.warning("%s ended with status %s; starting it again in %.1f s", self.name, self.process.returncode, self.pause_s)
        if now >= self.restart_at:
            self.restart_at = 0.0
            try:
                self.start()
            except OSError as error:  # no memory, no process left: the others must not end for that
                self.pause_s = min(max(0.2, self.pause_s * 2), LONGEST_PAUSE_S)
                self.restart_at = now + self.pause_s
                log.error("%s cannot be started (%s); trying again in %.1f s", self.name, error, self.pause_s)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        try:
            if self.process is not None:
                self.process.wait(max(0.0, timeout_s))
            return True
        except subprocess.TimeoutExpired:
            return False


class Supervisor:
    """The processes of one `wake up`."""

    def __init__(self, config: Config, flower_port: int | None = None, *, http: bool = False) -> None:
        self._config = config
        self._server = EmbeddedServer(config.data_dir) if config.redis_url() is None else None
        self._router = Child("router", ["worker", "--route"])
        self._workers = [Child(f"worker {pool}", ["worker", "--pool", pool]) for pool in config.pool_names()]
        self._flower = [] if flower_port is None else [Child("flower", ["flower", "--port", str(flower_port)])]
        self._ingress = [Child("http", ["web"])] if http else []
        self._stop = threading.Event()

    def run(self) -> int:
        """Returns 0 after a drain. Raises EmbeddedServerError when the server does not start."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGHUP, self._asked_to_reload)
        if self._server is not None:
            log.info("server: %s", self._server.start())
            forget_current()
        children = [self._router, *self._workers, *self._ingress]
        announced = False
        while not self._stop.is_set():
            self._check_server()
            for child in children:
                child.check()
            if not announced and self._announce():
                announced = True
                children += self._flower  # it asks once, when it starts, who consumes which queues
            self._stop.wait(CHECK_S)
        self._drain()
        return 0

    def _asked_to_stop(self, *_: object) -> None:
        if self._stop.is_set():  # asked again: no patience left
            for child in [self._router, *self._workers, *self._ingress, *self._flower]:
                child.signal(signal.SIGKILL)
        self._stop.set()

    def _asked_to_reload(self, *_: object) -> None:
        for child in [self._router, *self._workers]:
            child.signal(signal.SIGHUP)

    def _check_server(self) -> None:
        if self._server is not None and self._server.pid is None:
            log.warning("the server ended; starting it again on the same data")
            try:
                self._server.start()
            except EmbeddedServerError as error:
                log.error("%s", error)
                self._stop.wait(1.0)

    def _announce(self) -> bool:
        """Says once that everything is ready."""
        try:
            url = server_url(self._config)
            store = open_store(self._config, url)
            present = store.ledger.presences()
            store.close()
        except WakeError:
            return False
        roles = {holder.split(".")[0] for holder in present}
        served = {holder.split(".")[1] for holder in present}
        if "router" not in roles or not set(self._config.pool_names()) <= served:
            return False
        log.info("ready: router, workers of %s; server %s", ", ".join(self._config.pool_names()), ServerUrl.parse(url).shown())
        return True

    def _drain(self) -> None:
        """Workers first, so that the router and the server still serve their last words."""
        log.info("draining; again to stop at once")
        deadline = time.monotonic() + self._config.lease.grace_ms / 1000 + EXTRA_GRACE_S
        for group in ([*self._ingress, *self._workers], [self._router, *self._flower]):
            for child in group:
                child.signal(signal.SIGTERM)
            for child in group:
                if not child.wait(deadline - time.monotonic()):
                    log.warning("%s did not end in time; killed, its heartbeats run again elsewhere", child.name)
                    child.signal(signal.SIGKILL)
                    child.wait(5)
        if self._server is not None:
            self._server.stop()
        log.info("stopped")


def run_up(flower_port: int | None = None, *, http: bool = False) -> int:
    """`wake up` with the configuration of this process, with Flower if it gets a port, and with the ingress over HTTP."""
    if flower_port is not None:
        require_flower("up --flower")
    if http:
        require_http("up --http", current_config())
    follow_supervisor()
    logs.install()
    return Supervisor(current_config(), flower_port, http=http).run()
