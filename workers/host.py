"""Everything that a process needs to run heartbeats: presence, lease keeper, agent worker. One per process, made after the fork."""

from __future__ import annotations

import os
import threading

from dispatcher.app import current_config
from dispatcher.config import Config, LeaseSettings
from dispatcher.core.errors import StoreUnavailable
from dispatcher.doorbell import Doorbell
from dispatcher.embedded import server_url
from dispatcher.store.opened import open_store
from workers.agent_worker import AgentWorker
from workers.app import app, serving
from workers.lease_keeper import LeaseKeeper
from workers.presence import Presence, holder_name
from workers.reloading import follow, generation
from workers.runners import Signal
from workers.tally import Tally
from workers.tracing import start_tracing

PRESENCE_WAIT_S = 5.0
leaving = threading.Event()  # this process begins no heartbeat any more; set in a signal handler, so no lock of ours is involved


class Host:
    """The heartbeats of this process."""

    def __init__(self, config: Config, pool: str) -> None:
        url, lease = server_url(config), config.lease
        self._pool, self._generation = pool, generation()
        self.stop_signal = Signal()
        self.store = open_store(config, url, client_name=f"wake-worker-{os.getpid()}")
        # A client of its own with a short patience: a renewal that hangs must not eat the whole margin.
        patient_ms = max(100, min(config.redis.socket_timeout_ms, lease.margin_ms // 2))
        hasty = config.model_copy(update={"redis": config.redis.model_copy(update={"socket_timeout_ms": patient_ms})})
        self._keeper_store = open_store(hasty, url, client_name=f"wake-keeper-{os.getpid()}")
        self.presence = Presence(self.store, holder_name("child" if serving.prefork else "worker", pool))
        self.keeper = LeaseKeeper(
            self._keeper_store.mailbox, lease.ttl_ms, lease.renew_ms, lease.margin_ms, shrink_ms(lease), self._keeper_store.caps
        )
        self.presence.on_lost = self.keeper.presence_lost
        self.presence.on_back = self.presence.on_word = self.keeper.renew_now
        start_tracing()
        self.tally = Tally(self.store.observed, pool)
        self.worker = self._worker(config)

    def _worker(self, config: Config) -> AgentWorker:
        store = self.store.configured(config)
        return AgentWorker(
            store, config, self._pool, self.presence.holder, self.keeper, Doorbell(app, store, config), self.stop_signal, self.tally
        )

    def use(self, config: Config) -> None:
        """Another configuration for the heartbeats to come; those that run end under the one they began with."""
        self.worker = self._worker(config)

    def follow_reloads(self) -> None:
        """In a forked child: what its parent reloaded is read here before the next heartbeat."""
        if serving.prefork:
            self._generation, config = follow(self._generation)
            if config is not None:
                self.use(config)

    def start(self) -> None:
        self.presence.start()
        self.keeper.start()
        self.tally.start()

    def stop(self) -> None:
        """Leaves at once: the caller has seen to it that nothing runs any more."""
        self.tally.stop()
        self.keeper.stop()
        self.presence.stop()

    def require_presence(self) -> None:
        """Raises StoreUnavailable when this process does not become present: with a lease it would look dead."""
        if not self.presence.wait_present(PRESENCE_WAIT_S):
            raise StoreUnavailable("take a lease: this process has no presence connection to the server; the due index rings again")


def shrink_ms(lease: LeaseSettings) -> int:
    """How long a lost presence is harmless: less than the time between the two looks of an early reclaim."""
    return lease.early_reclaim_ms * 4 // 5


_lock = threading.Lock()
_hosts: dict[int, Host] = {}


def current_host() -> Host:
    """The host of this process, started at first use; a forked child gets its own."""
    with _lock:
        host = _hosts.get(os.getpid())
        if host is None:
            _hosts.clear()
            host = _hosts[os.getpid()] = Host(current_config(), serving.pool)
            host.start()
        return host


def running_host() -> Host | None:
    """The host of this process if there is one. Takes no lock."""
    return _hosts.get(os.getpid())
