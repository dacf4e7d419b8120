"""One simulation from its first to its last instant: the private store, the cadence, what arrives, what breaks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

from dispatcher.config import Config, rules_of
from dispatcher.core.errors import WakeError
from dispatcher.core.policy import next_tick
from dispatcher.core.rules import PAUSED
from dispatcher.core.snapshot import Hold
from dispatcher.routing import Routed
from dispatcher.simulate.arrivals import Arrival, arrivals_of
from dispatcher.simulate.engine import Engine, Turns
from dispatcher.simulate.history import History
from dispatcher.simulate.mail import Mail
from dispatcher.simulate.scenario import Crash, Outage, Pause, Scenario
from dispatcher.simulate.turns import turns_of
from dispatcher.simulate.world import private_server, private_store, simulated
from dispatcher.store.books import Balance
from dispatcher.store.cadences import changes_to
from dispatcher.store.opened import Store

PROGRESS_EVERY = 200
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Plan:
    """What is simulated, wherever it came from."""

    agents: tuple[str, ...]
    start_ms: int
    duration_ms: int
    arrivals: Sequence[Arrival]
    turns: Callable[[Config], Turns]
    seed: int = 1
    workers: int = 0
    everybody: bool = False
    crashes: Sequence[Crash] = ()
    outages: Sequence[Outage] = ()
    pauses: Sequence[Pause] = ()
    zone: str = "UTC"  # of the clock on the wall that a picture shows

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.duration_ms


@dataclass(frozen=True)
class Course:
    """How it went. `dead`: agent and reason of each dead letter; an ownerless one has no agent."""

    plan: Plan
    history: History
    balance: Balance
    dead: list[tuple[str | None, str]] = field(default_factory=list)


def plan_of(scenario: Scenario) -> Plan:
    """Raises ConfigError when more arrives than can be simulated."""
    return Plan(
        agents=scenario.agent_ids,
        start_ms=scenario.start_ms,
        duration_ms=scenario.duration,
        arrivals=arrivals_of(scenario),
        turns=partial(turns_of, scenario.runners, scenario.seed),
        seed=scenario.seed,
        workers=scenario.workers,
        everybody=scenario.counted,
        crashes=scenario.crashes,
        outages=scenario.outages,
        pauses=scenario.pauses,
        zone=scenario.zone,
    )


class NotApart(WakeError):
    """Part of a fleet was to be simulated alone, and one of its agents met a bound that it shares with all."""


def simulate(plan: Plan, config: Config, on_progress: Progress = lambda _ms: None, *, alone: bool = True) -> Course:
    """Runs the plan under this configuration. `on_progress` is told the virtual time now and then.

    Not `alone`: other agents are simulated elsewhere. Raises NotApart then, as soon as an agent asks for a place.
    """
    config = simulated(config, everybody=plan.everybody, unharmed=not (plan.crashes or plan.outages))
    pools = sorted({config.pool_of(agent_id) for agent_id in plan.agents})
    with private_server() as url, private_store(config, url, pools) as (store, caller):
        engine = Engine(store, caller, config, pools, plan.turns(config), plan.start_ms)
        engine.jitter, engine.at_a_time = _jitters(plan.seed), plan.workers
        _set_ticks(store, config, plan)
        _break(engine, store, config, plan)
        mail = Mail(store, config, engine, plan.arrivals)
        _feed(engine, mail)
        _run(engine, plan.end_ms, on_progress, () if alone else caller.called)
        mail.close()
        engine.history.close(plan.end_ms)
        dead = [(letter.agent_id, letter.reason) for letter in store.ledger.dead_letters()]
        return Course(plan, engine.history, store.ledger.balance(), dead)


def _jitters(seed: int) -> Callable[[str], float]:
    """By agent, so that no agent's depends on what others do."""
    randoms: dict[str, Random] = {}

    def jitter(agent_id: str) -> float:
        if agent_id not in randoms:
            randoms[agent_id] = Random(f"{seed}:jitter:{agent_id}")
        return randoms[agent_id].random()

    return jitter


def _run(engine: Engine, end_ms: int, on_progress: Progress, called: Collection[str]) -> None:
    for step in count(1):
        at_ms = engine.next_ms()
        if at_ms is None or at_ms >= end_ms:
            return
        engine.go(at_ms)
        if "admit" in called:
            raise NotApart("simulate: an agent asked for a place; simulate all agents together")
        if step % PROGRESS_EVERY == 0:
            on_progress(at_ms)


def _set_ticks(store: Store, config: Config, plan: Plan) -> None:
    """What a worker does when it starts."""
    for pool in {config.pool_of(agent_id) for agent_id in plan.agents}:
        wanted = {a: next_tick(rules_of(config, a), plan.start_ms) for a in plan.agents if config.pool_of(a) == pool}
        store.cadences.change_all(pool, changes_to(wanted, {}))


def _break(engine: Engine, store: Store, config: Config, plan: Plan) -> None:
    """What a scenario breaks, and what its operator does."""
    ttl_ms = config.lease.ttl_ms
    for crash in plan.crashes:
        at_ms, killed = plan.start_ms + crash.at, crash.how == "killed"
        if not killed:
            engine.watch_closely(max(plan.start_ms, at_ms - 2 * ttl_ms - 2_000), at_ms + 3 * ttl_ms)
        engine.at(at_ms, partial(engine.lose, crash.covers, noticed=killed))
    for outage in plan.outages:
        engine.at(plan.start_ms + outage.at, engine.leave)
        engine.at(plan.start_ms + outage.at + outage.lasts, engine.come_back)
    for pause in plan.pauses:
        for agent_id in filter(pause.covers, plan.agents):
            _pause(engine, store, config, plan.start_ms + pause.at, pause.lasts, agent_id)


def _pause(engine: Engine, store: Store, config: Config, at_ms: int, lasts_ms: int | None, agent_id: str) -> None:
    pool = config.pool_of(agent_id)

    def put(hold: Hold | None) -> None:
        if store.holds.put(agent_id, pool, hold, "scenario"):
            engine.ring_all([(agent_id, pool)])

    engine.at(at_ms, lambda: put(Hold(agent_id, PAUSED, "scenario", "scenario", at_ms, 0)))
    if lasts_ms is not None:
        engine.at(at_ms + lasts_ms, lambda: put(None))


def _feed(engine: Engine, mail: Mail) -> None:
    """One instant of arrivals after the other."""
    batches = mail.batches()

    def arrive(routed: list[Routed]) -> None:
        engine.history.arrivals += [(item.agent_id, engine.now_ms) for item in routed]
        mail.deliver(routed)
        following()

    def following() -> None:
        if (batch := next(batches, None)) is not None:
            engine.at(batch[0], lambda: arrive(batch[1]))

    following()
