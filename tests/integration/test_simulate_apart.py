"""A fleet that is simulated on several processors: the same course as on one, or one after all."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from dispatcher.config import Config
from dispatcher.core.errors import WakeError
from dispatcher.heartbeat import Started
from dispatcher.simulate.apart import parts_of, simulate_apart
from dispatcher.simulate.course import Course, NotApart, Plan, plan_of, simulate
from dispatcher.simulate.engine import Turn, Turns
from dispatcher.simulate.report import report_of
from dispatcher.simulate.scenario import read_scenario
from tests.support.gates import wait_until

FLEET = """
agents = 40
duration = "12h"
[settings.defaults]
every = "6h"
[[arrivals]]
per_hour = 0.2
burst = 2
[[runners]]
duration = ["1s", "50s"]
answers = ["failed: no", "ran", "not-acted", "skipped: nothing new"]
pick = "random"
"""


def fleet(folder: Path, more: str = "", settings: str = "") -> tuple[Plan, Config]:
    path = folder / "scenario.toml"
    path.write_text(FLEET.replace("[settings.defaults]", f"{settings}[settings.defaults]") + more, "utf-8")
    scenario, config = read_scenario(path)
    assert config is not None
    return plan_of(scenario), config


def comparable(course: Course) -> tuple[object, ...]:
    """All of it but the ids of batches, which count with the tokens of their server, and the order of what is simultaneous."""
    beats = sorted((replace(beat, batch_id="") for beat in course.history.beats), key=lambda b: (b.started_ms, b.agent_id))
    delays = sorted((delay.from_ms, delay.agent_id, delay.until_ms, delay.reason) for delay in course.history.delays)
    return beats, delays, sorted(course.history.waits), sorted(course.history.arrivals), course.balance, course.plan


def test_parts_together_are_the_whole(tmp_path: Path) -> None:
    """Tasks, retries with their jitter, ticks and turns of random length included."""
    plan, config = fleet(tmp_path)
    seen: list[int] = []
    course = simulate_apart(plan, config, 2, seen.append)
    assert len(parts_of(plan, config, 2)) == 2
    whole = simulate(plan, config)
    assert comparable(course) == comparable(whole)
    assert report_of(course) == report_of(whole)
    assert report_of(course).total.failed > 5
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ("[settings.caps]\nmax_running = 3\n", ""),
        ("[settings.pools.agents]\nmax_running = 3\n", ""),
        ("", '[[outages]]\nat = "1h"\nlasts = "2h"\n'),
    ],
)
def test_agents_that_share_a_bound_stay_together(tmp_path: Path, settings: str, more: str) -> None:
    plan, config = fleet(tmp_path, more, settings)
    assert parts_of(plan, config, 2) == [plan]


def test_a_small_plan_is_not_worth_a_process(tmp_path: Path) -> None:
    plan, config = fleet(tmp_path)
    assert parts_of(replace(plan, duration_ms=60_000, arrivals=plan.arrivals[:10]), config, 2)[1:] == []
    assert len(parts_of(plan, config, 1)) == 1


def test_every_agent_and_every_arrival_is_in_one_part(tmp_path: Path) -> None:
    plan, config = fleet(tmp_path)
    parts = parts_of(replace(plan, duration_ms=20 * plan.duration_ms), config, 3)
    assert len(parts) == 3
    assert sorted(agent for part in parts for agent in part.agents) == sorted(plan.agents)
    dealt = [arrival for part in parts for arrival in part.arrivals]
    assert Counter(dealt) == Counter(plan.arrivals)
    assert all({a.agent_id for a in part.arrivals} <= set(part.agents) for part in parts)


def test_agents_that_turn_out_to_share_the_release_of_what_is_late_are_simulated_as_one(tmp_path: Path) -> None:
    """Who is resumed after two hours has work that is late, and everybody's late work shares one rate."""
    plan, config = fleet(tmp_path, '[[arrivals]]\nat = ["2h"]\n[[pauses]]\nagents = ["agent-01"]\nat = "1h"\nlasts = "2h"\n')
    with pytest.raises(NotApart):
        simulate(parts_of(plan, config, 2)[0], config, alone=False)
    assert comparable(simulate_apart(plan, config, 2)) == comparable(simulate(plan, config))


def test_a_part_that_dies_is_said(tmp_path: Path) -> None:
    plan, config = fleet(tmp_path)
    with pytest.raises(WakeError, match="ended without an answer"):
        simulate_apart(replace(plan, turns=dying), config, 2)


def dying(_config: Config) -> Turns:
    def turn(_started: Started) -> Turn:
        sys.exit(3)

    return turn


IDLE = """
import sys
from dispatcher.simulate.world import private_server
with private_server() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def test_a_simulation_that_is_killed_leaves_no_server_behind() -> None:
    """SIGKILL: nothing of it can clear away any more."""
    with subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulating:
        assert simulating.stdout
        with redis.Redis.from_url(simulating.stdout.readline().strip()) as client:
            assert client.ping()
            simulating.kill()
            wait_until(lambda: not answers(client), 90, "the server is gone")


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
