"""One scrape: what the store holds and what workers counted there, as values of the table of metrics. Reads only, at a bounded cost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from dispatcher.config import Config, rules_of
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.explain import Around, explain
from dispatcher.core.guards import budget_share
from dispatcher.core.inspected import Inspected
from dispatcher.core.metric_table import BUCKETS, BY_NAME, UP, Sample, Spread
from dispatcher.core.observation import SEP, field_of
from dispatcher.metrics.balancing import BalanceWatch
from dispatcher.names import serves
from dispatcher.store.gauges import Place, PoolGauges, StoreGauges
from dispatcher.store.opened import Store

FRESH_S = 1.0  # scrapes that come together share one reading
POOL_COUNTERS = {
    "settled": "wake_completions_settled_total",
    "suppressed": "wake_completions_suppressed_total",
    "taken-over": "wake_takeovers_total",
}
WORD_COUNTERS = {"heartbeats": "wake_heartbeats_total", "avoidable": "wake_heartbeats_avoidable_total", "dead": "wake_dead_lettered_total"}
Measured = list[Sample | Spread]


class Measuring:
    """Measures one store. Safe for threads."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config
        self._max_agents, self._per_agent = config.metrics.max_agents, config.metrics.per_agent
        self._balance = BalanceWatch(store.gauges.difference)
        self._lock = threading.Lock()
        self._last: Measured = []
        self._fresh_until = 0.0

    def use(self, store: Store, config: Config) -> None:
        """Another configuration from the next scrape on."""
        with self._lock:
            self._store, self._config, self._fresh_until = store, config, 0.0

    def measure(self) -> Measured:
        """Everything. A store that does not answer is a value too: `wake_store_up` 0, and nothing else."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                try:
                    self._last = [Sample(UP, (), 1), *self._everything()]
                except StoreUnavailable:
                    self._last = [Sample(UP, (), 0)]
                self._fresh_until = time.monotonic() + FRESH_S
            return self._last

    def _everything(self) -> Iterator[Sample | Spread]:
        store, gauges = self._store, self._store.gauges
        found = gauges.look(self._max_agents)
        presences = store.ledger.presences()
        roles = [serves(holder) for holder in presences]
        workers = Counter(pool for _, pools in roles for pool in pools)
        routers = sum(role == "router" for role, _ in roles)
        pools = sorted({*found.pools, *workers, *self._config.pool_names()})
        yield Sample("wake_routers", (), routers)
        yield from (Sample("wake_workers", (pool,), workers[pool]) for pool in pools)
        yield from self._inbox(found)
        for pool in pools:
            yield from _pool(pool, found.pools.get(pool, PoolGauges()))
        for pool, counts in store.observed.of_pools(pools).items():
            yield from _observed(pool, counts)
        yield from self._agents(found, presences, routers, workers)
        yield Sample("wake_dead_letters", (), found.ownerless + gauges.letters(self._max_agents))
        with_work = sum(one.with_work for one in found.pools.values())
        if with_work <= len(found.first) and (balance := self._balance.read()) is not None:
            yield Sample("wake_balance", (), balance)

    def _inbox(self, found: StoreGauges) -> Iterator[Sample]:
        oldest_ms = found.now_ms if found.inbox_oldest_ms is None else found.inbox_oldest_ms
        yield Sample("wake_inbox_depth", (), found.inbox_depth)
        yield Sample("wake_inbox_lag_seconds", (), max(0, found.now_ms - oldest_ms) / 1000)
        yield Sample("wake_completions_accepted_total", (), found.inbox_counters.get("accepted", 0))
        yield Sample("wake_completions_suppressed_total", ("",), found.inbox_counters.get("suppressed", 0))
        for name, count in found.inbox_counters.items():
            word, colon, reason = name.partition(":")
            if colon and word == "dead":
                yield Sample(WORD_COUNTERS[word], ("", reason), count)

    def _agents(self, found: StoreGauges, presences: Sequence[str], routers: int, workers: Mapping[str, int]) -> Iterator[Sample]:
        """What can be said of single agents only: of those that are due the longest, as many as a scrape may look at."""
        depths = dict(zip(found.first, self._store.gauges.depths(found.first), strict=True))
        seen = self._store.gauges.inspect_all(found.first[: self._max_agents])
        caused = self._store.inspection.caused_by([one.agent_id for one in seen])
        causes: Counter[Place] = Counter()
        for one, count in zip(seen, caused, strict=True):
            present = bool(one.held and one.held.holder in presences)
            known = self._config.knows(one.agent_id)
            around = Around(known, routers, workers.get(one.pool, 0), present, found.inbox_depth, count)
            causes[one.pool, explain(one, around, rules_of(self._config, one.agent_id)).cause] += 1
        yield from (Sample("wake_agents", place, count) for place, count in sorted(causes.items()))
        for pool, gauges in found.pools.items():
            mine = [one for one in seen if one.pool == pool]
            yield Sample("wake_mailbox_depth", (pool,), sum(depth for (where, _), depth in depths.items() if where == pool))
            yield Sample("wake_mailbox_oldest_seconds", (pool,), max(map(_oldest_s, mine), default=0))
            yield Sample("wake_budget_used_ratio", (pool,), max(map(self._budget, mine), default=0))
            yield Sample("wake_agents_unmeasured", (pool,), max(0, gauges.with_work - len(mine)))
            for one in mine if self._per_agent else ():
                who = (pool, one.agent_id)
                yield Sample("wake_agent_mailbox_depth", who, depths[who])
                yield Sample("wake_agent_mailbox_oldest_seconds", who, _oldest_s(one))
                yield Sample("wake_agent_budget_used_ratio", who, self._budget(one))

    def _budget(self, one: Inspected) -> float:
        rules, snapshot = rules_of(self._config, one.agent_id), one.snapshot
        return budget_share(snapshot.spent, snapshot.now_ms, rules.budget_per_hour, rules.budget_per_day)


def _pool(pool: str, gauges: PoolGauges) -> Iterator[Sample]:
    counters = gauges.counters
    for word, name in POOL_COUNTERS.items():
        yield Sample(name, (pool,), counters[word])
    for field, count in sorted(counters.items()):
        word, colon, label = field.partition(":")
        if colon and word in WORD_COUNTERS:
            yield Sample(WORD_COUNTERS[word], (pool, label), count)
    yield Sample("wake_agents_with_work", (pool,), gauges.with_work)
    yield Sample("wake_leases_held", (pool,), gauges.leases)
    yield Sample("wake_due_lag_seconds", (pool,), (gauges.due_lag_ms or 0) / 1000)
    if gauges.sweep_lag_ms is not None:
        yield Sample("wake_sweep_lag_seconds", (pool,), gauges.sweep_lag_ms / 1000)


def _observed(pool: str, counts: Mapping[str, int]) -> Iterator[Sample | Spread]:
    """A counter that nobody counted yet is 0 and not absent: a rate over its first step would miss it."""
    for name, bounds in BUCKETS.items():
        places = tuple(counts.get(field_of(name, "le", str(place)), 0) for place in range(len(bounds) + 1))
        divisor = 1000 if BY_NAME[name].unit == "seconds" else 1
        yield Spread(name, (pool,), places, counts.get(field_of(name, "sum"), 0) / divisor)
    for metric in BY_NAME.values():
        if metric.kind == "counter" and metric.labels == ("pool",) and metric.name not in POOL_COUNTERS.values():
            yield Sample(metric.name, (pool,), counts.get(field_of(metric.name), 0))
    for field, count in sorted(counts.items()):
        name, sep, label = field.partition(SEP)
        if sep and name in BY_NAME and BY_NAME[name].kind == "counter":
            yield Sample(name, (pool, label), count)


def _oldest_s(one: Inspected) -> float:
    return max(0, one.snapshot.now_ms - one.oldest_at_ms) / 1000 if one.waiting and one.oldest_at_ms else 0.0
