"""What arrives when: the tables of a scenario as a list of completions, the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from dispatcher.core.errors import ConfigError
from dispatcher.core.identity import payload_digest
from dispatcher.core.models import ExecCompletion, Intent, Source
from dispatcher.core.reported import Reported, body_of
from dispatcher.core.wake_request import WakeRequest
from dispatcher.simulate.scenario import MAX_ARRIVALS, Arrivals, Scenario
from dispatcher.store.inbox import Submission

HOUR_MS = 3_600_000
SOURCES = {Intent.MANUAL: Source.MANUAL, Intent.TASK: Source.BACKGROUND_TASK}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One completion, or a wake of another intent, that a producer reports at `at_ms`."""

    at_ms: int
    agent_id: str
    session: str = "main"
    intent: Intent = Intent.EVENT
    exit_code: int = 0
    output: str = "done"

    def submission(self, completion_id: str) -> Submission:
        key = f"agent:{self.agent_id}:{self.session}"
        reported: Reported
        if self.intent is Intent.EVENT:
            reported = ExecCompletion(completion_id=completion_id, session_key=key, exit_code=self.exit_code, output=self.output)
        else:
            source = SOURCES.get(self.intent, Source.OTHER)
            reported = WakeRequest(wake_id=completion_id, session_key=key, intent=self.intent, source=source)
        return Submission(completion_id, payload_digest(reported), body_of(reported), self.at_ms)


def arrivals_of(scenario: Scenario) -> list[Arrival]:
    """Everything that arrives, in time order. Raises ConfigError when it is more than can be simulated."""
    found: list[Arrival] = []
    for place, part in enumerate(scenario.arrivals):
        for agent_id in filter(part.covers, scenario.agent_ids):
            random = Random(json.dumps([scenario.seed, place, agent_id]))
            for instant_ms in _instants(part, scenario.duration, random):
                for number in range(part.burst):
                    at_ms = scenario.start_ms + instant_ms + part.within * number // part.burst
                    found.append(Arrival(at_ms, agent_id, part.session, part.intent, part.exit_code, part.output))
            if len(found) > MAX_ARRIVALS:
                raise ConfigError([f"arrivals[{place}]: these are more than {MAX_ARRIVALS} completions; lower a rate or the duration"])
    return sorted(found, key=lambda arrival: arrival.at_ms)


def _instants(part: Arrivals, duration_ms: int, random: Random) -> Iterator[int]:
    end_ms = duration_ms if part.until is None else min(part.until, duration_ms)
    for number, at_ms in enumerate(_endless(part, random)):
        if at_ms >= end_ms or number == part.count:
            return
        yield at_ms


def _endless(part: Arrivals, random: Random) -> Iterator[int]:
    if part.at:
        yield from sorted(at_ms for at_ms in part.at if at_ms >= part.after)
        return
    at: float = part.after
    while True:
        if part.per_hour:
            at += random.expovariate(part.per_hour / HOUR_MS)
        yield int(at)
        at += part.every
