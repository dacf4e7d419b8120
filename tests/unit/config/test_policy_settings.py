"""What may be set for when an agent runs: each bad value is a clear error, each good one a number of the policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dispatcher.config import CommandRunner, Config, load, rules_of
from dispatcher.config.sections import SweepSettings
from dispatcher.core.errors import ConfigError
from dispatcher.core.rules import DEFAULTS, Rules
from dispatcher.core.schedule import ActiveHours, phase

WINDOW = "start = '08:00', end = '22:00'"
CASES = [
    ("[defaults]\nevery = '30'", "defaults.every: '30' is no duration; write one like \"30m\""),
    ("[defaults]\nevery = ''", "defaults.every: '' is no duration"),
    ("[defaults]\nevery = '-5m'", "defaults.every: '-5m' is no duration"),
    ("[defaults]\nevery = 30", "defaults.every: must be a valid string, not 30"),
    ("[agents.ops]\nevery = '10ms'", 'agents.ops.every: \'10ms\' must be between "1s" and "366d", or "0" for no cadence'),
    ("[defaults]\nevery = '367d'", "defaults.every: '367d' must be between"),
    ("[defaults]\nactive_hours = 'x'", "defaults.active_hours: must be a table, not 'x'; write { start = \"08:00\""),
    ("[defaults]\nactive_hours = { start = '08:00' }", "defaults.active_hours.end: is missing"),
    ("[defaults]\nactive_hours = { start = 8, end = '22:00' }", "defaults.active_hours.start: must be a valid string, not 8"),
    ("[defaults]\nactive_hours = { start = '8:00', end = '22:00' }", "defaults.active_hours: '8:00' is no time of day; write HH:MM"),
    ("[defaults]\nactive_hours = { start = '24:00', end = '22:00' }", "defaults.active_hours: 24:00 can only be an end; use 00:00"),
    ("[agents.ops]\nactive_hours = { " + WINDOW + ", timezone = 'Mars' }", "agents.ops.active_hours: 'Mars' is no IANA"),
    ("[defaults]\nactive_hours = { " + WINDOW + ", timezon = 'UTC' }", "defaults.active_hours.timezon: unknown key; did you mean"),
    ("[defaults]\nactive_hours = { " + WINDOW + ", zzz = 1 }", "defaults.active_hours.zzz: unknown key; known are start, end, timezone"),
    ("[defaults]\nuser_timezone = '../etc'", "defaults.user_timezone: '../etc' is no IANA time zone"),
    ("[defaults]\nuser_timezone = ''", "defaults.user_timezone: '' is no IANA time zone"),
    ("[defaults]\nquiet_ms = 5\nmax_wait_ms = 0", "defaults.quiet_ms: needs max_wait_ms, or wakes that keep coming would never run"),
    ("[defaults]\nquiet_ms = 5\n[agents.ops]\nmax_wait_ms = -1", "agents.ops.quiet_ms: needs max_wait_ms"),
    ("[defaults]\nquiet_ms = 3600001", "defaults.quiet_ms: must be less than or equal to 3600000"),
    ("[defaults]\nbudget_per_hour = 'x'", "defaults.budget_per_hour: must be a valid integer, not 'x'"),
    ("[defaults]\nbudget_per_day = 1.5", "defaults.budget_per_day: must be a valid integer, not 1.5"),
    ("[defaults]\nover_budget = 'drop'", "defaults.over_budget: must be 'defer' or 'dead-letter', not 'drop'"),
    ("[defaults]\nnotify = 'all'", "defaults.notify: must be 'output', 'always', 'failures' or 'never', not 'all'"),
    ("[defaults]\nmax_lineage_depth = -1", "defaults.max_lineage_depth: must be greater than or equal to 0"),
    ("[defaults]\nlineage_spacing_ms = 0", "defaults.lineage_spacing_ms: must be greater than or equal to 1"),
    ("[defaults]\nprecheck = './x'", "defaults.precheck: must be a table, not './x'; write { type = \"command\""),
    ("[defaults]\nprecheck = { command = ['x'] }", 'defaults.precheck: must be { type = "command", command = ["./needed'),
    ("[defaults]\nprecheck = { type = 'command' }", "defaults.precheck.command: is missing"),
    ("[defaults]\nprecheck = { type = 'command', command = [] }", "defaults.precheck.command: must name a program"),
    ("[defaults]\nprecheck = { type = 'command', command = ['x'], cwdd = 'y' }", "defaults.precheck.cwdd: unknown key; did you mean"),
    ("[defaults]\nprecheck = { type = 'python', target = 'x' }", "defaults.precheck.target: must have the form"),
    ("[agents.ops]\nprecheck = { type = 'python', target = 'x:y', cwd = 'z' }", "agents.ops.precheck.cwd: unknown key; known are type"),
    ("[defaults]\nprecheck_limit_s = 0", "defaults.precheck_limit_s: must be greater than 0"),
    ("[caps]\nmax_runing = 1", "caps.max_runing: unknown key; did you mean `max_running`?"),
    ("[caps]\nmax_running = -1", "caps.max_running: must be greater than or equal to 0"),
    ("[pools.lab]\nmax_running = -1", "pools.lab.max_running: must be greater than or equal to 0"),
    ("[cap]\nmax_running = 1", "cap: unknown table; did you mean [caps]?"),
    ("[defaults]\nmax_running = 1", "defaults.max_running: unknown key; it belongs in [pools.NAME]"),
]


@pytest.mark.parametrize(("text", "problem"), CASES)
def test_a_bad_value_is_named_with_its_remedy(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "wake.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(path, env={})
    assert len(error.value.problems) == 1, error.value.problems
    assert error.value.problems[0].startswith(problem)


def configured(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "wake.toml"
    path.write_text(text)
    return load(path, env={})


def test_without_a_word_the_policy_has_its_documented_numbers(tmp_path: Path) -> None:
    """But what an outage made late is released at a rate."""
    assert rules_of(configured(tmp_path, "[agents.ops]"), "ops") == Rules(release_per_s=50.0)
    assert DEFAULTS.interval_ms == 0
    assert DEFAULTS.cadence == ""


def test_every_setting_reaches_the_policy(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        """
        [defaults]
        window_ms = 1
        quiet_ms = 2
        min_spacing_ms = 3
        flood_starts = 4
        flood_window_ms = 5
        max_wait_ms = 6
        max_batch = 7
        max_failures = 8
        max_deliveries = 9
        retry_base_ms = 10
        retry_max_ms = 11
        budget_per_hour = 12
        budget_per_day = 13
        over_budget = "dead-letter"
        every = "1h30m"
        phase_seed = "seed"
        active_hours = { start = "08:00", end = "22:00" }
        user_timezone = "Europe/Berlin"
        max_lineage_depth = 14
        lineage_spacing_ms = 15
        [agents.ops]
        [agents.off]
        enabled = false
        [agents.else]
        active_hours = { start = "22:00", end = "06:00", timezone = "Asia/Tokyo" }
        every = "0"
        [caps]
        max_running = 16
        overdue_ms = 17
        release_per_s = 18.5
        [pools.agents]
        max_running = 19
        """,
    )
    interval_ms = 5_400_000
    hours = ActiveHours.parse("08:00", "22:00", "Europe/Berlin")
    expected = Rules(
        True, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, True,
        interval_ms, phase("seed", "ops", interval_ms), hours, 14, 15, 16, 19, 17, 18.5,
    )  # fmt: skip
    assert rules_of(config, "ops") == expected
    assert rules_of(config, "ops") is rules_of(config, "ops")
    assert expected.cadence == f"5400000/{expected.phase_ms}/08:00-22:00 Europe/Berlin"
    assert (rules_of(config, "off").enabled, rules_of(config, "stranger").enabled) == (False, False)
    other = rules_of(config, "else")
    assert (other.interval_ms, other.phase_ms, str(other.hours)) == (0, 0, "22:00-06:00 Asia/Tokyo")


def test_a_precheck_finds_its_files_where_the_runner_does(tmp_path: Path) -> None:
    """Relative to the folder of wake.toml, not to where a worker was started."""
    config = configured(tmp_path, '[defaults]\nprecheck = { type = "command", command = ["./x"], cwd = "sub" }\n[agents.ops]')
    precheck = config.agent("ops").precheck
    assert isinstance(precheck, CommandRunner)
    assert precheck.cwd == str(tmp_path / "sub")


def test_a_worker_at_rest_leaves_no_slot_unswept() -> None:
    """A slot counts as unswept after 1 s, and then no lease is taken over in time: looks are not further apart than half of that."""
    assert SweepSettings(interval_ms=500).interval_ms == 500
    with pytest.raises(ValidationError, match="less than or equal to 500"):
        SweepSettings(interval_ms=501)
