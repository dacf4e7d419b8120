"""The runner of a simulation: how long a turn takes and what it answers, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from dispatcher.config import Config
from dispatcher.core.models import Failed, Outcome
from dispatcher.heartbeat import Started
from dispatcher.simulate.engine import Turn, Turns
from dispatcher.simulate.scenario import Runner


def turns_of(runners: Sequence[Runner], seed: int, config: Config) -> Turns:
    """A function from a begun heartbeat to its turn. A turn that is longer than its time limit fails at the limit."""
    turned: Counter[str] = Counter()
    randoms: dict[str, Random] = {}

    def turn(started: Started) -> Turn:
        agent_id = started.lease.agent_id
        random = randoms.setdefault(agent_id, Random(f"{seed}:{agent_id}"))
        runner = next((runner for runner in runners if runner.covers(agent_id)), DEFAULT)
        duration = runner.duration
        duration_ms = duration if isinstance(duration, int) else random.randint(*duration)
        place = random.randrange(len(runner.answers)) if runner.pick == "random" else min(turned[agent_id], len(runner.answers) - 1)
        turned[agent_id] += 1
        return limited(duration_ms, runner.answers[place], config, agent_id)

    return turn


def limited(duration_ms: int, outcome: Outcome, config: Config, agent_id: str) -> Turn:
    """As the worker cuts it: at the time limit the turn is cancelled."""
    limit_ms = int(config.agent(agent_id).time_limit_s * 1000)
    return Turn(limit_ms, Failed(error="timeout")) if duration_ms > limit_ms else Turn(duration_ms, outcome)


DEFAULT = Runner()
