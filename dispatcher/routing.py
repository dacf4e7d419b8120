"""Routing: inbox -> one address -> one mailbox -> doorbell -> acknowledged. The only place that decides who owns a key."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from dispatcher.config import Config
from dispatcher.core import session_key
from dispatcher.core.errors import InvalidAddress
from dispatcher.core.exec_text import clean, exec_wake, is_quiet
from dispatcher.core.models import Address, DeadReason, ExecCompletion, Intent, Route, tail_of
from dispatcher.core.policy import RIDER, Rules, due_delay_ms
from dispatcher.core.resolve import resolve
from dispatcher.names import agent_queue
from dispatcher.store.inbox import Claimed, InboxEntry
from dispatcher.store.mailbox import Deposit
from dispatcher.store.opened import Store

log = logging.getLogger(__name__)
MAX_STORED_OUTPUT_BYTES = 16 * 1024


class Ringer(Protocol):
    """Rings (agent id, pool) pairs; failing to is no error."""

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int: ...


@dataclass(frozen=True, slots=True)
class Routed:
    """One entry with its owner, ready to be deposited."""

    entry: InboxEntry
    completion: ExecCompletion
    route: Route
    pool: str
    configured: str


def rules_of(config: Config, agent_id: str) -> Rules:
    """The numbers of one agent as the policy wants them."""
    policy = config.agent(agent_id)
    return Rules(
        enabled=policy.enabled,
        window_ms=policy.window_ms,
        min_spacing_ms=policy.min_spacing_ms,
        flood_starts=policy.flood_starts,
        flood_window_ms=policy.flood_window_ms,
        max_wait_ms=policy.max_wait_ms,
        max_batch=policy.max_batch,
        max_failures=policy.max_failures,
        max_deliveries=policy.max_deliveries,
        retry_base_ms=policy.retry_base_ms,
        retry_max_ms=policy.retry_max_ms,
    )


class Router:
    """Drains the inbox. Safe to run many of: an entry is with one router at a time and comes back when that one dies."""

    def __init__(self, store: Store, config: Config, ringer: Ringer) -> None:
        self._store, self._config, self._ringer = store, config, ringer
        self.consumer = f"{socket.gethostname()}-{os.getpid()}"
        self._homes: dict[str, tuple[str, str]] = {}
        self._draining = threading.Lock()

    def resolve(self, key: str, agent_id: str | None = None, bindings: dict[str, str] | None = None) -> Route:
        """The one owner of a key, and the queue on which it is rung. Raises InvalidAddress with a dead letter reason."""
        config = self._config
        if bindings is None:
            bindings = {} if session_key.parse(key) else self._store.bindings.all()
        found = resolve(
            key,
            agent_id,
            bindings,
            config.routing.default_agent,
            config.knows,
            lambda agent: config.agent(agent).enabled,
            config.defaults.main_key,
        )
        pool, _ = self._home(found.agent_id)
        return Route(address=found.address, pool=pool, queue=self._queue(found.agent_id, pool), via=found.via)

    def drain_inbox(self, limit: int | None = None) -> dict[str, int]:
        """Routes what lies in the inbox, `limit` entries at a time, until it is empty. Counts per queue, and "dead", "suppressed"."""
        limit = limit or self._config.routing.route_batch
        done: Counter[str] = Counter()
        with self._draining:  # the task and the timer of one process take turns
            while True:
                claimed = self._store.inbox.claim(self.consumer, limit)
                self._route_all(claimed, done)
                if len(claimed.entries) < limit:
                    return dict(done)

    def oldest_entry_ms(self) -> int:
        """Everything accepted before this has left the inbox."""
        return self._store.inbox.oldest_entry_ms()

    def _route_all(self, claimed: Claimed, done: Counter[str]) -> None:
        routed: list[Routed] = []
        bindings: dict[str, str] | None = None
        pins = self._store.inbox.pinned([e.entry for e in claimed.entries if e.deliveries > 1])
        for entry in claimed.entries:
            try:
                completion = _parsed(entry)
                if bindings is None and not session_key.parse(completion.session_key):
                    bindings = self._store.bindings.all()
                routed.append(self._owned(entry, completion, bindings or {}, pins.get(entry.entry)))
            except (InvalidAddress, ValidationError) as error:
                self._refuse(entry, error, done)
        self._store.inbox.pin(
            {r.entry.entry: f"{r.route.address.agent_id}|{r.route.address.session_key}" for r in routed if r.route.via != "session-key"}
        )
        self._deliver(routed, claimed.read_at_ms, done)

    def _owned(self, entry: InboxEntry, completion: ExecCompletion, bindings: dict[str, str], pin: str | None) -> Routed:
        if entry.deliveries > self._config.routing.max_claims:
            raise InvalidAddress(
                DeadReason.ROUTER_CRASH, f"route completion={entry.completion_id}: claimed {entry.deliveries} times, never answered"
            )
        if pin:
            # Another router found this owner and may have deposited already; a binding that changed since must not wake a second agent.
            agent_id, _, key = pin.partition("|")
            pool, _ = self._home(agent_id)
            route = Route(address=Address(agent_id=agent_id, session_key=key), pool=pool, queue=self._queue(agent_id, pool), via="binding")
        else:
            route = self.resolve(completion.session_key, completion.agent_id, bindings)
        pool, configured = self._home(route.address.agent_id)
        if configured != self._config.pool_of(route.address.agent_id):
            pool, configured = self._moved(route.address.agent_id, pool, configured)
        return Routed(entry, completion, route, pool, configured)

    def _deliver(self, routed: list[Routed], read_at_ms: int, done: Counter[str]) -> None:
        loud: list[Routed] = []
        acknowledged: list[tuple[InboxEntry, str, str]] = []
        for item in routed:
            if self._is_quiet(item):
                if self._suppress(item, done):
                    acknowledged.append((item.entry, item.route.address.agent_id, item.route.via))
            else:
                loud.append(item)
        bells: dict[str, str] = {}
        pending, moved = loud, False
        while pending:
            replies = self._store.mailbox.deposit_all([self._deposit(item, read_at_ms) for item in pending])
            again: list[Routed] = []
            for item, reply in zip(pending, replies, strict=True):
                agent_id = item.route.address.agent_id
                match reply.status:
                    case "DEPOSITED" | "DUPLICATE" | "MAILBOX_FULL":
                        done["dead" if reply.status == "MAILBOX_FULL" else self._queue(agent_id, item.pool)] += 1
                        acknowledged.append((item.entry, agent_id, item.route.via))
                        if reply.rest and reply.rest[0] == 1:
                            bells[agent_id] = item.pool
                    case "MOVED" if not moved:
                        again.append(self._rehomed(item, reply.rest[0], reply.rest[1]))
                    case status:
                        log.warning(
                            "route agent=%s completion=%s: %s; the entry stays in the inbox", agent_id, item.entry.completion_id, status
                        )
            pending, moved = again, True
        self._ringer.ring_all(bells.items())
        self._store.inbox.acknowledge(acknowledged)

    def _deposit(self, item: Routed, read_at_ms: int) -> Deposit:
        agent_id = item.route.address.agent_id
        rules = rules_of(self._config, agent_id)
        rides = session_key.is_subagent(item.route.address.session_key) and not self._config.agent(agent_id).wake_subagents
        lane = RIDER if rides else Intent.EVENT.value
        return Deposit(
            address=item.route.address,
            pool=item.pool,
            configured=item.configured,
            wake=exec_wake(item.completion, via=item.route.via, accepted_at_ms=item.entry.accepted_at_ms),
            lane=lane,
            delay_ms=due_delay_ms(lane, rules),
            output=tail_of(item.completion.output, MAX_STORED_OUTPUT_BYTES),
            entry=item.entry.entry,
            revival=item.entry.revival,
            read_at_ms=read_at_ms,
        )

    def _is_quiet(self, item: Routed) -> bool:
        return is_quiet(item.completion, self._config.agent(item.route.address.agent_id).notify_empty_success)

    def _suppress(self, item: Routed, done: Counter[str]) -> bool:
        agent_id, pool, configured = item.route.address.agent_id, item.pool, item.configured
        reason = "cancelled" if item.completion.cancelled else "empty-success"
        for _ in range(2):
            entry = item.entry
            reply = self._store.mailbox.suppress(agent_id, pool, configured, entry.entry, entry.completion_id, entry.revival, reason)
            if reply.status != "MOVED":
                done["suppressed"] += 1
                return True
            pool, configured = self._moved(agent_id, reply.rest[0], reply.rest[1])
        return False

    def _refuse(self, entry: InboxEntry, error: InvalidAddress | ValidationError, done: Counter[str]) -> None:
        reason = error.reason if isinstance(error, InvalidAddress) else _reason_of(error)
        key, agent_id = _named_in(entry)
        owner = session_key.parse(key)
        if entry.deliveries > 1 and owner and self._store.ledger.has_marker(owner.agent_id, entry.completion_id, entry.entry):
            # Deposited by a router that died before it could say so: it has an owner, whatever this router would have decided.
            self._store.inbox.acknowledge([(entry, owner.agent_id, "session-key")])
            return
        letter = {"session_key": key[:1024], "agent_id": agent_id, "message": str(error)[:1000], "dead_at": self._store.ledger.now_ms()}
        status = self._store.inbox.reject(entry, str(reason), letter)
        if status == "REJECTED":
            done["dead"] += 1
        elif status == "DEAD_FULL":
            log.error(
                "route completion=%s: the dead letters are full, the entry stays in the inbox; revive or drop some", entry.completion_id
            )

    def _rehomed(self, item: Routed, pool: str, configured: str) -> Routed:
        return Routed(item.entry, item.completion, item.route, *self._moved(item.route.address.agent_id, pool, configured))

    def _moved(self, agent_id: str, pool: str, configured: str) -> tuple[str, str]:
        """Where the agent lies from now on. An operator's move holds; a configuration that changed since moves it now, unless it runs."""
        wanted = self._config.pool_of(agent_id)
        if configured != wanted and self._store.mailbox.move(agent_id, pool, wanted, wanted) in ("MOVED", "ALREADY"):
            pool, configured = wanted, wanted
        if configured == wanted:
            self._homes[agent_id] = (pool, configured)
        else:
            self._homes.pop(agent_id, None)
        return pool, configured

    def _home(self, agent_id: str) -> tuple[str, str]:
        """(pool, configured pool) of an agent: as the store recorded it, else as the configuration wants it."""
        found = self._homes.get(agent_id) or self._store.ledger.home_of(agent_id)
        wanted = self._config.pool_of(agent_id)
        if found is None or found[1] == wanted:
            found = self._homes[agent_id] = found or (wanted, wanted)
        return found

    def _queue(self, agent_id: str, pool: str) -> str:
        redis = self._config.redis
        return agent_queue(redis.prefix, pool, self._store.keys.slot_of(agent_id), self._config.pool(pool).partitions)


def _parsed(entry: InboxEntry) -> ExecCompletion:
    return ExecCompletion.model_validate_json(entry.body)


def _reason_of(error: ValidationError) -> DeadReason:
    for fault in error.errors(include_url=False, include_input=False):
        if fault["loc"][:1] == ("session_key",):
            return DeadReason.TOO_LARGE if "at most" in fault["msg"] else DeadReason.MALFORMED_KEY
    return DeadReason.INVALID_COMPLETION


def _named_in(entry: InboxEntry) -> tuple[str, str | None]:
    """Key and agent of an entry that may be anything, for its dead letter."""
    try:
        words = json.loads(entry.body)
    except ValueError:
        return "", None
    if not isinstance(words, dict):
        return "", None
    key, agent_id = words.get("session_key"), words.get("agent_id")
    return clean(key) if isinstance(key, str) else "", clean(agent_id)[:64] if isinstance(agent_id, str) else None
