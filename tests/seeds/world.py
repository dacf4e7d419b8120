"""A small system under a virtual clock: routers, workers, an operator and doorbells on one real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.models import Busy, Failed, Lease, Outcome, Ran, Skipped
from dispatcher.dead_letters import DeadLetters
from dispatcher.heartbeat import Heartbeats, Started
from dispatcher.routing import Router
from dispatcher.store.sweeping import Absent, Sweeping
from tests.seeds.seats import OPERATORS, ROUTERS, WORKERS, Bells, System, Turn
from tests.seeds.witness import Witness

T0 = 1_800_000_000_000
AGENTS, POOLS = ("ops", "lab", "cron"), ("agents", "lab")
FREE_KEY = "node-mac"  # it names no agent, so it has to be bound
SERVES = {"w1": "agents", "w2": "agents", "w3": "lab", "w4": "lab"}
OUTCOMES: dict[str, Outcome | None] = {
    "ran": Ran(), "skipped": Skipped(reason="nothing-to-do"), "busy": Busy(), "failed": Failed(error="boom"),
    "final": Failed(error="refused", final=True), "handed-back": None,
}  # fmt: skip
TRIES = 4
LEASE_ENDS_MS = 600_000
T = TypeVar("T")


class World:
    """One seed's world, from an empty server on. Every act leaves the parties standing before their next calls."""

    def __init__(self, system: System) -> None:
        self.config, self.seats = system.config, system.seats
        self.us = self.seats["us"].store
        self.client: Any = self.us.client
        self.client.flushall()
        self.bells, self.witness = Bells(), Witness(self.us.keys)
        self.mono_ms, self.skew_ms, self._nonce = 0, T0, 0
        self.claimed: dict[str, tuple[str, int]] = {}  # inbox entry -> router, when
        self.looks: list[tuple[int, int]] = []
        self.absent: dict[Absent, int] = {}
        self.witness.now_ms = lambda: self.mono_ms
        for seat in self.seats.values():
            seat.caller.now_ms, seat.caller.observe, seat.turn = lambda: self.now_ms, self.witness.saw, None
            seat.generation += 1
        self.us.inbox.prepare()
        self.us.bindings.bind(FREE_KEY, "ops")
        self.sweeping = Sweeping(self.us, POOLS)
        self.routers = {name: self._router(name) for name in ROUTERS}
        self.beats = {name: self._heartbeats(name) for name in WORKERS}
        self.letters = {name: DeadLetters(self.seats[name].store, self.config, self.bells, lambda: None) for name in OPERATORS}
        for name in WORKERS:
            self.seats[name].appear()
        self.sweep()

    @property
    def now_ms(self) -> int:
        return self.mono_ms + self.skew_ms

    def close(self) -> None:
        for seat in self.seats.values():
            seat.party.crash()
        for name in WORKERS:
            self.seats[name].vanish()

    # Parties

    def _router(self, name: str) -> Router:
        router = Router(self.seats[name].store, self.config, self.bells)
        router.consumer = self.seats[name].called
        return router

    def _heartbeats(self, name: str) -> Heartbeats:
        seat = self.seats[name]
        return Heartbeats(seat.store, self.config, SERVES[name], seat.called, _insist, lambda _: LEASE_ENDS_MS, 28.0)

    def route(self, name: str, limit: int) -> None:
        """A router begins to drain the inbox. Who has been silent for long enough by our clock is so by the server's, too."""
        self._age_claims()
        seat, router = self.seats[name], self.routers[name]
        seat.party.start(lambda: _unless_away(lambda: router.drain_inbox(limit)))

    def _age_claims(self) -> None:
        stream = self.us.keys.inbox["stream"]
        for claim in self.client.xpending_range(stream, "routers", "-", "+", 1000):
            entry, owner = claim["message_id"], claim["consumer"]
            if self.claimed.get(entry, ("", 0))[0] != owner:
                self.claimed[entry] = (owner, self.mono_ms)
            silent_ms = max(0, self.mono_ms - self.claimed[entry][1])
            self.client.execute_command("XCLAIM", stream, "routers", owner, 0, entry, "IDLE", silent_ms, "JUSTID")

    def note_claims(self) -> None:
        """After a claim: since when each entry is with its router."""
        for claim in self.client.xpending_range(self.us.keys.inbox["stream"], "routers", "-", "+", 1000):
            entry, owner = claim["message_id"], claim["consumer"]
            if self.claimed.get(entry, ("", 0))[0] != owner:
                self.claimed[entry] = (owner, self.mono_ms)

    def ring(self, name: str, agent_id: str) -> None:
        """A worker takes a doorbell of this agent."""
        self._nonce += 1
        nonce = f"n{self._nonce}"
        self.seats[name].party.start(lambda: _unless_away(lambda: self._heartbeat(name, agent_id, nonce)))

    def _heartbeat(self, name: str, agent_id: str, nonce: str) -> None:
        seat, beats, mailbox = self.seats[name], self.beats[name], self.seats[name].store.mailbox
        done = beats.begin(agent_id, nonce)
        if not isinstance(done, Started):
            self._ring_on(agent_id, name, done.ring)
            return
        lease, batch = done.lease, done.batch
        self._overlap(name, lease, batch.batch_id)
        outcome = OUTCOMES[seat.party.before("turn")]
        cancelled, seat.turn = seat.turn.cancelled if seat.turn else "", None
        end = beats.ending(lease, batch, outcome, 0.5) if outcome else lambda: mailbox.park(lease, batch.batch_id, "handed-back", 0, "stop")
        if cancelled:
            end = beats.cancelling(lease, batch.batch_id, to_retry=cancelled == "CANCEL_RETRY")
        ended = _insist(end, 0)
        if done.capped:
            _insist(lambda: seat.store.caps.leave(agent_id, lease.pool), 0)
        self._ring_on(agent_id, name, ended.ring)

    def _ring_on(self, agent_id: str, name: str, ring: bool) -> None:
        if ring:
            self.bells.ring_all([(agent_id, SERVES[name])])

    def _overlap(self, name: str, lease: Lease, batch_id: str) -> None:
        """At the begin of a heartbeat nobody else trusts a lease of the same agent."""
        ttl_ms = self.config.lease.ttl_ms - self.config.lease.margin_ms
        for other in WORKERS:
            turn = self.seats[other].turn
            if other != name and turn and turn.lease.agent_id == lease.agent_id:
                assert turn.trusted_until_ms <= self.mono_ms, f"{name} begins {lease.agent_id}, which {other} runs and trusts its lease for"
        self.seats[name].turn = Turn(lease, batch_id, self.witness.begun_at[lease.agent_id, lease.token] + ttl_ms)

    def crash(self, name: str) -> None:
        """Dies before its next call, and comes back as another one."""
        seat = self.seats[name]
        seat.party.crash()
        seat.turn = None
        if name in WORKERS:
            seat.vanish()
        seat.generation += 1
        if name in WORKERS:
            seat.appear()
            self.beats[name] = self._heartbeats(name)
        elif name in ROUTERS:
            self.routers[name] = self._router(name)

    def renew(self, name: str) -> None:
        """What the lease keeper of a worker does while its runner runs."""
        turn = self.seats[name].turn
        if turn is None:
            return
        lease = turn.lease
        (word,) = self.us.mailbox.renew_all([(lease, turn.batch_id)])
        ttl_ms = self.config.lease.ttl_ms - self.config.lease.margin_ms
        renewed = word in ("RENEWED", "CANCEL", "CANCEL_RETRY")
        turn.trusted_until_ms = self.mono_ms + ttl_ms if renewed else 0  # refused: it knows that it lost it
        turn.cancelled = word if renewed and word != "RENEWED" else turn.cancelled
        self.us.caps.keep_all([(lease.agent_id, lease.pool)])

    # The sweep of all workers, the clock, the trim

    def sweep(self) -> None:
        self.bells.ring_all(self.sweeping.sweep(self.sweeping.slots, 100, ()).ring)

    def watch(self) -> None:
        """One look at presences; who was absent half a second ago already is reclaimed."""
        now = self.mono_ms
        self.absent = {one: self.absent.get(one, now) for one in self.sweeping.absent()}
        for one, since in self.absent.items():
            if now - since >= self.config.lease.early_reclaim_ms and self.sweeping.reclaim(one) == "RECLAIMED":
                self.bells.ring_all([(one.agent_id, one.pool)])

    def trim(self) -> None:
        """As the routers' timer: what left the inbox less than a hold ago may be in a router's hands."""
        self.looks.append((self.mono_ms, self.us.inbox.oldest_entry_ms()))
        safe = [oldest for at, oldest in self.looks if self.mono_ms - at > self.us.limits.max_hold_ms]
        if safe:
            self.sweeping.trim(safe[-1], self.now_ms)

    def pass_time(self, ms: int, *, renewing: bool) -> None:
        """Time in which the workers sweep as they do, and renew or stand still."""
        left, since = ms, 0
        while left > 0:
            step = min(left, 900)
            self.mono_ms, left, since = self.mono_ms + step, left - step, since + step
            if renewing and since >= 4_500:
                since = 0
                for name in WORKERS:
                    self.renew(name)
            self.sweep()


def _insist(step: Callable[[], T], within_s: float) -> T:
    """As a worker repeats a step whose answer may have been lost."""
    del within_s  # time stands still meanwhile
    for _ in range(TRIES - 1):
        try:
            return step()
        except StoreUnavailable:
            continue
    return step()


def _unless_away(work: Callable[[], object]) -> None:
    """What gives up when the server does not answer is tried again by a later look."""
    try:
        work()
    except StoreUnavailable:
        return
