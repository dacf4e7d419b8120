"""What `wake simulate` shows of the policy: the scenario files of the examples, and what breaks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.simulate.course import Course, plan_of, simulate
from dispatcher.simulate.report import report_of
from dispatcher.simulate.scenario import read_scenario
from tests.support.sources import ROOT

EXAMPLES = ROOT / "examples" / "scenarios"
SETTINGS = "[settings.agents.ops]\n"


def course_of(path: Path) -> Course:
    scenario, config = read_scenario(path)
    assert config is not None
    course = simulate(plan_of(scenario), config)
    assert course.balance.balance == 0
    return course


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(dedent(text), "utf-8")
    return path


def starts(course: Course, *intents: str) -> list[int]:
    """When heartbeats began, in ms from the start."""
    return [beat.started_ms - course.plan.start_ms for beat in course.history.beats if not intents or beat.intent in intents]


def test_a_completion_40_s_after_a_turn_runs_at_once() -> None:
    """Not at the next tick, which may be half an hour away."""
    course = course_of(EXAMPLES / "after_a_turn.toml")
    assert starts(course, "event") == [300_250, 340_250]
    assert len(starts(course, "scheduled")) == 2


def test_ten_completions_make_one_heartbeat_every_30_s() -> None:
    course = course_of(EXAMPLES / "burst.toml")
    assert starts(course) == [250, 30_250, 60_250, 90_250]
    assert [beat.size for beat in course.history.beats] == [1, 3, 3, 3]
    assert {delay.reason for delay in course.history.delays} == {"min-spacing"}


def test_the_sixth_immediate_wake_waits_for_the_flood_guard_and_a_person_does_not() -> None:
    course = course_of(EXAMPLES / "flood.toml")
    assert starts(course, "immediate") == [0, 2_000, 4_000, 6_000, 8_000, 62_001], "60 001 ms after the fifth start before it"
    assert starts(course, "manual") == [20_000]
    (delay, *_) = course.history.delays
    assert (delay.reason, delay.from_ms - course.plan.start_ms) == ("flood", 10_000)


def test_the_same_seed_gives_the_same_course(tmp_path: Path) -> None:
    text = 'duration = "2h"\nagents = 3\n[settings]\n[[arrivals]]\nper_hour = 6\n[[runners]]\nduration = ["1s", "50s"]\n'
    first, again = (course_of(written(tmp_path, text)) for _ in range(2))
    assert first.history.beats == again.history.beats
    assert len(first.history.arrivals) > 3
    other = course_of(written(tmp_path, "seed = 2\n" + text))
    assert other.history.arrivals != first.history.arrivals


def test_a_crash_that_meets_nobody_changes_nothing(tmp_path: Path) -> None:
    """Where no worker is lost, leases are as long as may be and are hardly renewed; with a crash they are those of the settings."""
    turns = '[[arrivals]]\nper_hour = 20\n[[runners]]\nduration = ["1s", "90s"]\n'
    text = f'duration = "2h"\nagents = 3\n[settings.defaults]\nevery = "10m"\n{turns}'
    crash = '[[crashes]]\nat = "0s"\nhow = "vanished"\n'
    unharmed, harmed = course_of(written(tmp_path, text)), course_of(written(tmp_path, text + crash))
    assert (unharmed.plan.crashes, len(harmed.plan.crashes)) == ((), 1)
    assert unharmed.history.beats == harmed.history.beats
    assert (unharmed.history.delays, unharmed.history.waits) == (harmed.history.delays, harmed.history.waits)
    assert any((beat.ended_ms or 0) - beat.started_ms > 30_000 for beat in unharmed.history.beats)


def test_answers_follow_one_another(tmp_path: Path) -> None:
    """Busy dissolves and leaves no mark, a failure is tried again as the same batch, a refusal becomes dead letters."""
    scenario = f"""
        duration = "10m"
        agents = ["ops"]
        {SETTINGS}
        [[arrivals]]
        at = ["0s", "2m", "4m"]
        [[runners]]
        duration = "1s"
        answers = ["busy: active-run", "not-acted", "failed: it broke", "ran", "refused: no"]
    """
    course = course_of(written(tmp_path, scenario))
    assert [beat.word for beat in course.history.beats] == ["busy", "ran", "failed", "ran", "failed"]
    failed, again = course.history.beats[2:4]
    assert (failed.batch_id, failed.attempt) == (again.batch_id, again.attempt - 1)
    total = report_of(course).total
    assert (total.heartbeats, total.busy, total.failed) == (2, 1, 2)
    assert (total.avoidable, total.dead) == ({"not-acted": 1}, {"refused-by-runner": 1})
    assert starts(course)[:2] == [250, 2_250]


@pytest.mark.parametrize(("how", "again_ms"), [("killed", 60_500), ("vanished", 85_250)])
def test_a_worker_that_is_gone(how: str, again_ms: int, tmp_path: Path) -> None:
    """Killed, it is noticed at once; vanished, its lease runs out 30 s after the last renewal. The same batch runs again."""
    scenario = f"""
        duration = "10m"
        agents = ["ops"]
        {SETTINGS}
        [[arrivals]]
        at = ["30s"]
        [[runners]]
        duration = "2m"
        [[crashes]]
        at = "60s"
        how = "{how}"
    """
    course = course_of(written(tmp_path, scenario))
    assert starts(course) == [30_250, again_ms]
    assert [(beat.word, beat.attempt) for beat in course.history.beats] == [("lost", 1), ("ran", 2)]
    assert len({beat.batch_id for beat in course.history.beats}) == 1


def test_a_paused_agent_waits_until_it_is_resumed(tmp_path: Path) -> None:
    scenario = f"""
        duration = "30m"
        agents = ["ops"]
        {SETTINGS}
        [[arrivals]]
        at = ["2m", "3m"]
        [[pauses]]
        at = "1m"
        lasts = "10m"
    """
    course = course_of(written(tmp_path, scenario))
    assert starts(course) == [660_000]
    assert {delay.reason for delay in course.history.delays} == {"paused"}


def test_few_workers_take_one_turn_after_the_other(tmp_path: Path) -> None:
    scenario = """
        duration = "10m"
        agents = 4
        workers = 1
        [settings]
        [[arrivals]]
        at = ["0s"]
        [[runners]]
        duration = "10s"
    """
    assert starts(course_of(written(tmp_path, scenario))) == [250, 10_250, 20_250, 30_250]


def test_a_turn_ends_at_its_time_limit(tmp_path: Path) -> None:
    scenario = f"""
        duration = "10m"
        agents = ["ops"]
        {SETTINGS}
        time_limit_s = 60.0
        max_failures = 1
        [[arrivals]]
        at = ["0s"]
        [[runners]]
        duration = "2m"
    """
    course = course_of(written(tmp_path, scenario))
    (beat,) = course.history.beats
    assert (beat.word, beat.ended_ms) == ("failed", beat.started_ms + 60_000)
    assert course.dead == [("ops", "attempts-exhausted")]


def test_every_fault_of_a_file_is_said_at_once(tmp_path: Path) -> None:
    text = """
        agents = ["ops", "Ops!"]
        zone = "Mars/Base"
        nonsense = 1
        [settings.defaults]
        evry = "30m"
        [[arrivals]]
        at = ["soon"]
        [[runners]]
        answers = ["perhaps"]
    """
    with pytest.raises(ConfigError) as raised:
        read_scenario(written(tmp_path, text))
    said = "\n".join(raised.value.problems)
    for fault in ("'Ops!'", "Mars/Base", "nonsense", "settings.defaults.evry", "arrivals[0].at[0]", "runners[0].answers[0]"):
        assert fault in said


def test_agents_that_nobody_has_are_faults(tmp_path: Path) -> None:
    text = 'agents = ["ops"]\n[settings.agents.other]\n[[arrivals]]\nagents = ["lab-*"]\nevery = "1m"\n'
    with pytest.raises(ConfigError) as raised:
        read_scenario(written(tmp_path, text))
    assert len(raised.value.problems) == 2


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_fleet_ticks_spread_and_through_a_clock_change() -> None:
    """1 000 agents, 24 h: none is missed, starts lie evenly over the interval, and none outside 08:00 to 22:00 on the wall."""
    course = course_of(EXAMPLES / "fleet.toml")
    plan, every_ms = course.plan, 1_800_000
    by_agent = Counter(beat.agent_id for beat in course.history.beats)
    # 18:00 to 22:00 are 8 ticks; a day of 24 hours ends at 19:00 in this night's new time, so from 08:00 on there are 22.
    assert set(by_agent.values()) == {30}
    assert len(by_agent) == 1_000
    offsets = [(beat.started_ms - plan.start_ms) / 3_600_000 for beat in course.history.beats]
    assert not [at for at in offsets if 4 <= at < 13], "quiet from 22:00 to 08:00, nine hours in this night"
    assert min(at for at in offsets if at > 4) < 13.01
    buckets = Counter(beat.started_ms % every_ms * 20 // every_ms for beat in {b.agent_id: b for b in course.history.beats}.values())
    expected = 1_000 / 20
    assert sum((buckets[n] - expected) ** 2 / expected for n in range(20)) < 43.8, "chi-square, 19 degrees, 0.1 %"


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_after_an_outage_what_is_late_is_released_slowly_and_the_urgent_first() -> None:
    course = course_of(EXAMPLES / "outage.toml")
    back_ms = course.plan.start_ms + 2 * 3_600_000
    told_to_wait = {delay.agent_id: delay.until_ms for delay in course.history.delays if delay.reason == "release"}
    late = [beat for beat in course.history.beats if told_to_wait.get(beat.agent_id) == beat.started_ms]
    assert len({beat.agent_id for beat in late}) > 450
    assert max(Counter((beat.started_ms - back_ms) // 1_000 for beat in late).values()) <= 5
    urgent = [beat.started_ms for beat in course.history.beats if beat.intent == "immediate"]
    assert len(urgent) == 9
    assert max(urgent) < back_ms + 5_000
