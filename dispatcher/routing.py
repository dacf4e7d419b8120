"""Routing: inbox -> one address -> one mailbox -> doorbell -> acknowledged. The only place that decides who owns a key."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic import ValidationError

from dispatcher.config import Config, rules_of
from dispatcher.core import session_key
from dispatcher.core.errors import Forbidden, InvalidAddress, StoreUnavailable, TokenRefused
from dispatcher.core.guards import due_delay_ms
from dispatcher.core.models import Address, DeadReason, Intent, Route, Via
from dispatcher.core.reported import Reported, lane_of, named_in, output_of, quiet_reason, read_body, reason_of, wake_of, without_token
from dispatcher.core.resolve import Resolved, resolve
from dispatcher.core.wake_request import WakeRequest
from dispatcher.drain import Drain, Turn
from dispatcher.homes import Homes
from dispatcher.store.bindings import LazyBindings
from dispatcher.store.entries import Claimed, InboxEntry
from dispatcher.store.mailbox import Deposit
from dispatcher.store.opened import Store
from dispatcher.store.scripts import FAILED
from dispatcher.tokens import REMEDY, Keyring, authorize

log = logging.getLogger(__name__)
MAX_STORED_OUTPUT_BYTES = 16 * 1024
REMEMBERED = 8_192  # keys whose owner is not looked for again; the many that seldom come would only make the memory large
Owned = tuple[InboxEntry, Reported, Address, Via]


class Ringer(Protocol):
    """Rings (agent id, pool) pairs; failing to is no error."""

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int: ...


@dataclass(frozen=True, slots=True)
class Routed:
    """One entry with its owner: a wake to deposit, or none because it is quiet."""

    entry: InboxEntry
    deposit: Deposit
    quiet: str | None

    @property
    def agent_id(self) -> str:
        return self.deposit.address.agent_id

    @property
    def caused_by(self) -> str | None:
        """The agent whose heartbeat this came from."""
        return self.deposit.wake.lineage.agent_id if self.deposit.wake.lineage else None


class Router:
    """Drains the inbox. Safe to run many of: an entry is with one router at a time and comes back when that one dies."""

    def __init__(self, store: Store, config: Config, ringer: Ringer) -> None:
        self._store, self._config, self._ringer = store, config, ringer
        self._homes = Homes(store, config)
        self._keyring = Keyring(config)
        self._turn = Turn()
        self._addresses: dict[tuple[str, str | None], tuple[Address, Via]] = {}
        self.consumer = f"{socket.gethostname()}-{os.getpid()}"
        self.drain = Drain(store.inbox, self.own_all, self.deliver, config.redis.socket_timeout_ms // 2)

    def resolve(self, key: str, agent_id: str | None = None, bindings: Mapping[str, str] | None = None) -> Route:
        """The one owner of a key, and the queue on which it is rung. Raises InvalidAddress with a dead letter reason."""
        found = self._resolved(key, agent_id, LazyBindings(self._store.bindings) if bindings is None else bindings)
        return self.route_to(found.address, found.via)

    def _resolved(self, key: str, agent_id: str | None, bindings: Mapping[str, str]) -> Resolved:
        config = self._config
        default, main_key = config.routing.default_agent, config.defaults.main_key
        return resolve(key, agent_id, bindings, default, config.knows, lambda agent: rules_of(config, agent).enabled, main_key)

    def drain_inbox(self, limit: int | None = None, *, stay_s: float = 0.0) -> dict[str, int]:
        """Routes what lies in the inbox, `limit` entries at a time, until it is empty. Counts per queue, and "dead", "suppressed".

        With `stay_s` it waits for more, for so long in all. What comes meanwhile is routed without a message from its producer, and where
        completions come one upon the other they share the cost of a page. Returns at once while another thread of this process is at it:
        that one looks once more before it ends.
        """
        limit = limit or self._config.routing.route_batch
        if not self._turn.begin():
            return {}
        try:
            done = Counter(self.drain.run(self.consumer, limit, stay_s))
            while not self._turn.end():
                done.update(self.drain.run(self.consumer, limit, 0.0))
        except BaseException:
            self._turn.give_up()
            raise
        return dict(done)

    def oldest_entry_ms(self) -> int:
        """Everything accepted before this has left the inbox."""
        return self._store.inbox.oldest_entry_ms()

    def own_all(self, claimed: Claimed, done: Counter[str] | None = None) -> list[Routed]:
        """Finds the owner of each; what has none is dead-lettered. A fault that nobody foresaw costs its own entry only."""
        done = Counter() if done is None else done
        owned: list[Owned] = []
        routed: list[Routed] = []
        bindings = LazyBindings(self._store.bindings)
        pins = self._store.inbox.pinned([e.entry for e in claimed.entries if e.deliveries > 1])
        for entry in claimed.entries:
            try:
                owned.append((entry, *self._owner(entry, bindings, pins.get(entry.entry))))
            except (InvalidAddress, ValidationError) as error:
                self._refuse(entry, error, pins.get(entry.entry), done)
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("route completion=%s failed; the entry comes back", entry.completion_id)
        owned = self._pinned(owned)
        for item in owned:
            try:
                routed.append(self._routed(*item, claimed.read_at_ms))
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("route completion=%s failed; the entry comes back", item[0].completion_id)
        return routed

    def _pinned(self, owned: Sequence[Owned]) -> list[Owned]:
        found = {e.entry: f"{address.agent_id}|{address.session_key}" for e, _, address, via in owned if via != "session-key"}
        pins = self._store.inbox.pin(found)
        return [
            (e, completion, _pinned_address(pins[e.entry]) if e.entry in pins else address, via) for e, completion, address, via in owned
        ]

    def _owner(self, entry: InboxEntry, bindings: Mapping[str, str], pin: str | None) -> tuple[Reported, Address, Via]:
        if entry.deliveries > self._config.routing.max_claims:
            said = f"route completion={entry.completion_id}: claimed {entry.deliveries} times, never answered; see the routers' logs"
            raise InvalidAddress(DeadReason.ROUTER_CRASH, said)
        completion = read_body(entry.body)
        if pin:
            # Another router found this owner and may have deposited already; a binding that changed since must not wake a second agent.
            return completion, _pinned_address(pin), "binding"
        address, via = self._address(completion.session_key, completion.agent_id, bindings)
        self._authorize(entry, completion, address.agent_id)
        return completion, address, via

    def _address(self, key: str, agent_id: str | None, bindings: Mapping[str, str]) -> tuple[Address, Via]:
        """The owner; remembered for an agent key, which nothing but the configuration has a say in."""
        known = self._addresses.get((key, agent_id))
        if known is None:
            found = self._resolved(key, agent_id, bindings)
            known = found.address, found.via
            if session_key.parse(key):
                if len(self._addresses) >= REMEMBERED:
                    self._addresses.clear()
                self._addresses[key, agent_id] = known
        return known

    def _authorize(self, entry: InboxEntry, completion: Reported, agent_id: str) -> None:
        """Raises InvalidAddress (forbidden). Judged by the time of acceptance: routers may have been away for longer than a token lasts."""
        if entry.revival > 0:  # an operator's word: whoever revives may write to the store
            return
        what = f"route completion={entry.completion_id}"
        if completion.token is None:
            if self._config.routing.require_token:
                raise InvalidAddress(
                    DeadReason.FORBIDDEN, f"{what}: agent={agent_id} is reported for with a token only, and none came; {REMEDY}"
                )
            return
        try:
            grant = self._keyring.verify(completion.token, entry.accepted_at_ms / 1000)
            authorize(grant, agent_id, wake=isinstance(completion, WakeRequest), what=what)
        except (TokenRefused, Forbidden) as error:
            raise InvalidAddress(DeadReason.FORBIDDEN, f"{what} agent={agent_id}: {error}") from error

    def _routed(self, entry: InboxEntry, completion: Reported, address: Address, via: Via, read_at_ms: int) -> Routed:
        policy = self._config.agent(address.agent_id)
        deposit = self._deposit(entry, completion, address, via, read_at_ms, policy.wake_subagents)
        return Routed(entry, deposit, quiet_reason(completion, policy.notify))

    def _deposit(
        self, entry: InboxEntry, completion: Reported, address: Address, via: Via, read_at_ms: int, wake_subagents: bool
    ) -> Deposit:
        agent_id = address.agent_id
        wake, rules = wake_of(completion, via=via, accepted_at_ms=entry.accepted_at_ms), rules_of(self._config, agent_id)
        lane = lane_of(wake, address.session_key, wake_subagents, rules.max_lineage_depth)
        pool, configured = self._homes.expected(agent_id)
        return Deposit(
            address=address,
            pool=pool,
            configured=configured,
            wake=wake,
            lane=lane,
            delay_ms=due_delay_ms(lane, rules),
            quiet_ms=rules.quiet_ms if lane == Intent.EVENT else 0,
            max_wait_ms=rules.max_wait_ms,
            output=output_of(completion, MAX_STORED_OUTPUT_BYTES),
            entry=entry.entry,
            revival=entry.revival,
            read_at_ms=read_at_ms,
        )

    def deliver(self, routed: Sequence[Routed], done: Counter[str] | None = None) -> None:
        """Deposits, rings, and only then acknowledges: dying in between costs a duplicate deposit, which is answered as one."""
        self.acknowledge(self.deposit(routed, done))

    def deposit(self, routed: Sequence[Routed], done: Counter[str] | None = None) -> list[Routed]:
        """Each into its mailbox, and its agent is rung. Those that are to be acknowledged now; the others stay and come back."""
        done = Counter() if done is None else done
        finished: list[Routed] = []
        kept: Counter[str] = Counter()
        bells: dict[str, str] = {}
        pending = list(routed)
        for last_try in (False, True):
            replies = self._store.mailbox.put_all([(item.deposit, item.quiet) for item in pending]) if pending else []
            again: list[Routed] = []
            for item, reply in zip(pending, replies, strict=True):
                if reply.status == "MOVED" and not last_try:
                    again.append(self._rehomed(item, *reply.rest))
                elif reply.status == FAILED:
                    log.error("route completion=%s agent=%s: %s; see `wake doctor`", item.entry.completion_id, item.agent_id, reply.rest[0])
                    kept[f"{FAILED} agent={item.agent_id}"] += 1
                elif reply.status in ("TOO_LATE", "DEAD_FULL", "MOVED"):
                    kept[f"{reply.status} agent={item.agent_id}"] += 1
                else:
                    finished.append(item)
                    done[self._word(item, reply.status)] += 1
                    if reply.status == "DEPOSITED" and reply.rest[0] == 1:
                        bells[item.agent_id] = item.deposit.pool
            pending = again
        for why, count in kept.most_common(5):
            log.warning("route: %s: %d entries stay in the inbox and come back", why, count)
        self._ringer.ring_all(bells.items())
        return finished

    def acknowledge(self, finished: Sequence[Routed]) -> None:
        """They leave the inbox."""
        causes = {item.entry.entry: cause for item in finished if (cause := item.caused_by)}
        self._store.inbox.acknowledge([(item.entry, item.agent_id, item.deposit.wake.via) for item in finished], causes)

    def _rehomed(self, item: Routed, pool: str, configured: str) -> Routed:
        pool, configured = self._homes.moved(item.agent_id, pool, configured)
        return replace(item, deposit=replace(item.deposit, pool=pool, configured=configured))

    def _refuse(self, entry: InboxEntry, error: InvalidAddress | ValidationError, pin: str | None, done: Counter[str]) -> None:
        reason = error.reason if isinstance(error, InvalidAddress) else reason_of(error)
        key, agent_id = named_in(entry.body)
        parsed = session_key.parse(key)
        owner, via = (pin.partition("|")[0], "binding") if pin else (parsed.agent_id if parsed else agent_id, "session-key")
        if entry.deliveries > 1 and owner and self._store.ledger.has_marker(owner, entry.completion_id, entry.entry):
            # Deposited by a router that died before it could say so: it has an owner, whatever this router would have decided.
            self._store.inbox.acknowledge([(entry, owner, via)])
            return
        letter = {"session_key": key[:1024], "agent_id": agent_id, "message": str(error)[:1000], "dead_at": self._store.ledger.now_ms()}
        status = self._store.inbox.reject(replace(entry, body=without_token(entry.body)), str(reason), letter)
        if status == "REJECTED":
            done["dead"] += 1
        elif status == "DEAD_FULL":
            log.error(
                "route completion=%s: the dead letters are full, the entry stays in the inbox; revive or drop some", entry.completion_id
            )

    def _word(self, item: Routed, status: str) -> str:
        """Under which word a finished entry is counted."""
        if status == "MAILBOX_FULL":
            return "dead"
        return "suppressed" if item.quiet else self._homes.queue_in(item.agent_id, item.deposit.pool)

    def route_to(self, address: Address, via: Via) -> Route:
        """How that address is rung now."""
        pool, _ = self._homes.home(address.agent_id)
        return Route(address=address, pool=pool, queue=self._homes.queue_in(address.agent_id, pool), via=via)


def _pinned_address(pin: str) -> Address:
    agent_id, _, key = pin.partition("|")
    return Address(agent_id=agent_id, session_key=key)
