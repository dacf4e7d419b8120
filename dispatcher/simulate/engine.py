"""The discrete-event loop: time jumps to what happens next, and then the real steps are taken.

Production looks at least every 0.4 s; here a look happens when the due index says that something is due, and whenever anything changed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from dispatcher.config import Config
from dispatcher.core.coalesce import merged
from dispatcher.core.errors import WakeError
from dispatcher.core.models import Outcome
from dispatcher.heartbeat import Heartbeats, NotStarted, Started
from dispatcher.simulate.history import Beat, History
from dispatcher.store.direct import DirectCaller
from dispatcher.store.opened import Store
from dispatcher.store.scripts import Reply
from dispatcher.store.sweeping import Sweeping

CLEANUP_MS = 30_000  # what a lease is granted beyond the time limit
LOOKS_AT_ONE_INSTANT = 1_000
SWEEP_LIMIT = 10_000
CLOSE_STEP_MS = 1_000  # a slot that is swept so often has no gap
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """How a turn will go. `duration_ms` None: it runs until somebody ends it."""

    duration_ms: int | None
    outcome: Outcome


Turns = Callable[[Started], Turn]


@dataclass(slots=True)
class Running:
    """A heartbeat under way. `lost`: its worker is gone, nobody renews or ends it."""

    started: Started
    beat: Beat
    lost: bool = False


class Engine:
    """One store under a virtual clock, and workers that never tire. Also a ringer for routers."""

    def __init__(self, store: Store, caller: DirectCaller, config: Config, pools: Sequence[str], turns: Turns, start_ms: int) -> None:
        """`caller` is the store's; it peeks at the due index of these pools."""
        self.history = History()
        self.running: dict[str, Running] = {}
        self.jitter: Callable[[str], float] = lambda _agent_id: 0.5
        self.at_a_time = 0  # heartbeats that all workers together can run; 0: any number
        self._store, self._caller, self._config, self._turns = store, caller, config, turns
        self._sweeping = Sweeping(store, pools)
        lease = config.lease
        self._renew_ms = lease.ttl_ms - lease.margin_ms  # as rarely as is safe; `watch_closely` makes it what workers do
        self._beats = {
            pool: Heartbeats(store, config, pool, f"worker.{pool}", _insist, self._limit_ms, self._renew_ms / 1000) for pool in pools
        }
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._order = count()
        self._bells: deque[tuple[str, str]] = deque()
        self._rung: set[str] = set()
        self._close_until = 0
        self._absent: set[str] = set()  # tokens of holders that were killed
        self._away = False
        self.stand_at(start_ms)

    def at(self, at_ms: int, act: Callable[[], object]) -> None:
        """Something is to happen then; at one instant in the order in which it was said."""
        heapq.heappush(self._heap, (at_ms, next(self._order), act))

    def next_ms(self) -> int | None:
        """When anything happens next."""
        times = [self._heap[0][0]] if self._heap else []
        if not self._away:
            times += [int(self._caller.earliest)] if self._caller.earliest is not None else []
            times += [self.now_ms + CLOSE_STEP_MS] if self.now_ms < self._close_until else []
        return max(self.now_ms, min(times)) if times else None

    def go(self, at_ms: int) -> None:
        """It is `at_ms` now: what happens then, and what follows from it."""
        self.stand_at(at_ms)
        while self._heap and self._heap[0][0] <= at_ms:
            heapq.heappop(self._heap)[2]()
        self.look()

    def run(self, until_ms: int) -> None:
        """Everything up to and including `until_ms`, which then is now."""
        while (at_ms := self.next_ms()) is not None and at_ms <= until_ms:
            self.go(at_ms)
        self.stand_at(until_ms)

    def look(self) -> None:
        """Sweeps and answers doorbells until nothing is due now. Nobody does when all workers are away."""
        if self._away:
            return
        if self.now_ms < self._close_until:
            self._sweep()
        for _ in range(LOOKS_AT_ONE_INSTANT):
            self._answer_all()
            earliest = self._caller.earliest
            if earliest is not None and earliest <= self.now_ms:
                self._sweep()
            elif self._heap and self._heap[0][0] <= self.now_ms:  # a turn that took no time
                heapq.heappop(self._heap)[2]()
            else:
                return
        raise WakeError(f"simulate: the same agents come due again and again at {self.now_ms}; this is a bug, keep the scenario")

    def _sweep(self) -> None:
        """Rings who is due. The first of them is begun at once if nobody was rung before, and the sweep goes along with its first step."""
        slots = self._sweeping.slots
        calls = self._sweeping.sweeps(slots, SWEEP_LIMIT, slots if self._bells else ())
        first = None if self._bells or self._full else self._first_due()
        if first is None:
            self.ring_all(self._sweeping.swept(slots, self._caller.call_all(calls)).ring)
            return

        def ring_others(replies: list[Reply]) -> None:
            ring = self._sweeping.swept(slots, replies).ring
            if ring[:1] != [first]:
                raise WakeError(f"simulate: the due index said {first} and the sweep {ring[:1]}; this is a bug, keep the scenario")
            self.ring_all(ring[1:])

        self._caller.call_ahead(calls, ring_others)
        self._answer(*first)

    def _first_due(self) -> tuple[str, str] | None:
        """Whom a sweep rings first now."""
        heads = zip(self._caller.heads, self._sweeping.slots, strict=True)
        return next(((head[0], pool) for head, (_, pool) in heads if head and head[1] <= self.now_ms), None)

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        new = [(agent_id, pool) for agent_id, pool in agents if agent_id not in self._rung]
        self._bells += new
        self._rung |= {agent_id for agent_id, _ in new}
        return len(new)

    def end(self, running: Running, outcome: Outcome) -> None:
        """The turn comes to its end now, unless its worker was lost before."""
        if running.lost:
            return
        lease, batch = running.started.lease, running.started.batch
        del self.running[lease.agent_id]
        self.history.ended(running.beat, batch, self.now_ms, outcome)
        ended = self._beats[lease.pool].ending(lease, batch, outcome, self.jitter(lease.agent_id))()
        if running.started.capped:
            self._store.caps.leave(lease.agent_id, lease.pool)
        if ended.ring:
            self.ring_all([(lease.agent_id, lease.pool)])

    def lose(self, covers: Callable[[str], bool], *, noticed: bool = True) -> None:
        """The workers of these agents' heartbeats are gone. `noticed`: without presence, so that others reclaim the lease early."""
        for agent_id in [agent_id for agent_id in self.running if covers(agent_id)]:
            running = self.running.pop(agent_id)
            running.lost = True
            self.history.ended(running.beat, running.started.batch, self.now_ms, None)
            if noticed:
                self._absent.add(str(running.started.lease.token))
                self.at(self.now_ms + self._config.lease.early_reclaim_ms, self._reclaim)

    def leave(self) -> None:
        """All workers are killed."""
        self._away = True
        self.lose(lambda _: True)

    def come_back(self) -> None:
        """New workers start."""
        self._away = False
        self.at(self.now_ms + self._config.lease.early_reclaim_ms, self._reclaim)

    def watch_closely(self, from_ms: int, until_ms: int) -> None:
        """In this time leases are renewed and slots are swept as often as workers do, so that a lease runs out when it would."""
        self.at(from_ms, lambda: setattr(self, "_close_until", until_ms))
        self._renew_ms = self._config.lease.renew_ms

    def stand_at(self, now_ms: int) -> None:
        """It is `now_ms` now; what is due is not looked at yet."""
        self.now_ms = self._sweeping.now_ms = now_ms
        self._store.stand_at(now_ms)

    @property
    def _full(self) -> bool:
        return bool(self.at_a_time) and len(self.running) >= self.at_a_time

    def _answer_all(self) -> None:
        while self._bells and not self._full:
            agent_id, pool = self._bells.popleft()
            self._rung.discard(agent_id)
            self._answer(agent_id, pool)

    def _answer(self, agent_id: str, pool: str) -> None:
        done = self._beats[pool].begin(agent_id, f"n{next(self._order)}")
        if isinstance(done, Started):
            self._start(done)
        else:
            self._not_started(agent_id, pool, done)

    def _not_started(self, agent_id: str, pool: str, done: NotStarted) -> None:
        if done.deferrals:
            self.history.deferred(agent_id, self.now_ms, done.deferrals)
        if done.ring:
            self.ring_all([(agent_id, pool)])

    def _start(self, started: Started) -> None:
        agent_id, batch = started.lease.agent_id, started.batch
        _, intent, _ = merged(batch.wakes)
        beat = Beat(agent_id, batch.address.session_key, intent, batch.batch_id, batch.attempt, len(batch.wakes), self.now_ms)
        running = self.running[agent_id] = Running(started, beat)
        self.history.beats.append(beat)
        turn = self._turns(started)
        if turn.duration_ms is not None:
            self.at(self.now_ms + turn.duration_ms, lambda: self.end(running, turn.outcome))
        if turn.duration_ms is None or turn.duration_ms > self._renew_ms:
            self.at(self.now_ms + self._renew_ms, lambda: self._renew(running))

    def _renew(self, running: Running) -> None:
        lease = running.started.lease
        if self.running.get(lease.agent_id) is not running:
            return
        self._store.mailbox.renew_all([(lease, running.started.batch.batch_id)])
        if running.started.capped:
            self._store.caps.keep_all([(lease.agent_id, lease.pool)])
        self.at(self.now_ms + self._renew_ms, lambda: self._renew(running))

    def _reclaim(self) -> None:
        """What the second look finds that the first has seen. Here nobody shows a presence, so we say who is gone."""
        for absent in [] if self._away or not self._absent else self._sweeping.absent():
            if absent.token in self._absent and self._sweeping.reclaim(absent) == "RECLAIMED":
                self.ring_all([(absent.agent_id, absent.pool)])
                self._absent.discard(absent.token)

    def _limit_ms(self, agent_id: str) -> int:
        return int(self._config.agent(agent_id).time_limit_s * 1000) + CLEANUP_MS


def _insist(step: Callable[[], T], within_s: float) -> T:  # noqa: ARG001  # the private server answers, or the simulation fails
    return step()
