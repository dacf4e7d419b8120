"""One open store: the client and the modules that use it, made from the configuration. Connects at the first call, not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dispatcher.config import Config
from dispatcher.store.acts import Acts
from dispatcher.store.bindings import Bindings
from dispatcher.store.cadences import Cadences
from dispatcher.store.cancels import Cancels
from dispatcher.store.caps import Caps
from dispatcher.store.connect import NOTICED_MS, connect
from dispatcher.store.gauges import Gauges
from dispatcher.store.glance import Glancing
from dispatcher.store.handoffs import Handoffs
from dispatcher.store.holds import Holds
from dispatcher.store.inbox import Inbox
from dispatcher.store.inspection import Inspection
from dispatcher.store.keys import Keys
from dispatcher.store.ledger import Ledger
from dispatcher.store.limits import StoreLimits
from dispatcher.store.mailbox import Mailbox
from dispatcher.store.observed import Observed
from dispatcher.store.reloads import Reloads
from dispatcher.store.scripts import Caller, Replicas

CallerOf = Callable[[Any, Keys], Caller]


@dataclass(frozen=True)
class Store:
    """Safe for threads and after a fork."""

    url: str
    client: Any  # redis-py's replies are typed Any | Awaitable[Any]; this is the synchronous client
    caller: Caller
    keys: Keys
    limits: StoreLimits
    inbox: Inbox
    mailbox: Mailbox
    ledger: Ledger
    bindings: Bindings
    cadences: Cadences
    holds: Holds
    handoffs: Handoffs
    caps: Caps
    cancels: Cancels
    acts: Acts
    glancing: Glancing
    reloads: Reloads
    inspection: Inspection
    observed: Observed
    gauges: Gauges

    def stand_at(self, now_ms: int) -> None:
        """From now on every step is told this time instead of asking the server's clock: for simulation and tests. 0 undoes it."""
        for part in (self.inbox, self.mailbox, self.cadences, self.holds, self.handoffs, self.caps, self.cancels):
            part.now_ms = now_ms

    def close(self) -> None:
        self.caller.wire.close()
        self.client.close()

    def configured(self, config: Config) -> Store:
        """The same store and the same connections, with the limits and bindings of another configuration."""
        return _store(config, self.url, self.client, lambda *_: self.caller)


def open_store(config: Config, url: str, *, client_name: str | None = None, caller_of: CallerOf | None = None) -> Store:
    """The store at `url` as `config` describes it. Opens no connection yet, unless `caller_of` makes a caller that does."""
    return _store(config, url, connect(url, config.redis, client_name=client_name), caller_of)


def _store(config: Config, url: str, client: Any, caller_of: CallerOf | None = None) -> Store:
    keys, limits = Keys(config.redis.prefix, config.redis.slots), limits_of(config)
    caller = caller_of(client, keys) if caller_of else Caller(client, Replicas(config.redis.wait_replicas, config.redis.wait_replicas_ms))
    ledger = Ledger(client, keys)
    return Store(
        url,
        client,
        caller,
        keys,
        limits,
        Inbox(caller, keys, limits),
        Mailbox(caller, keys, limits),
        ledger,
        Bindings(client, keys, dict(config.routing.bindings)),
        Cadences(client, caller, keys, limits),
        Holds(client, caller, keys, limits),
        Handoffs(client, caller, keys),
        Caps(caller, keys, limits),
        Cancels(client, caller, keys, limits),
        Acts(client, keys, limits),
        Glancing(client, keys),
        Reloads(client, keys),
        Inspection(client, caller, keys, ledger.pools),
        Observed(client, keys),
        Gauges(client, caller, keys, ledger.pools, ledger.balance),
    )


def limits_of(config: Config) -> StoreLimits:
    """What the steps are given. An entry may be deposited for less time than another router must wait before it takes it over."""
    bounds, lease, routing = config.bounds, config.lease, config.routing
    # Who was cut off when the server started is not present: it may trust its lease for as long as one lasts, and notices that late.
    young_ms = max(lease.ttl_ms, NOTICED_MS) if config.sweep.young_server_ms is None else config.sweep.young_server_ms
    return StoreLimits(
        dedupe_ms=bounds.dedupe_ms,
        max_ids=bounds.max_ids,
        max_inbox=bounds.max_inbox,
        max_mailbox=bounds.max_mailbox,
        max_dead=bounds.max_dead,
        ledger_max=bounds.ledger_receipts,
        keep_fates=bounds.ledger_completions,
        keep_fates_ms=bounds.ledger_ms,
        claim_ms=lease.claim_ms,
        ttl_ms=lease.ttl_ms,
        min_uptime_s=-(-young_ms // 1000),  # the server tells whole seconds: rather one more than one less
        idle_ms=routing.claim_idle_ms,
        max_hold_ms=routing.claim_idle_ms * 4 // 5,
        outputs_shown=bounds.request_events,
    )
