"""`wake simulate`: scenarios, what the ledger knows, comparison, picture, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dispatcher.simulate.report import Figures, Report, Waits, compared, percentile
from tests.support.exec_process import environment
from tests.support.store_state import snapshot
from tests.support.wake_cli import WakeCli

SCENARIO = """
duration = "10m"
agents = ["ops", "research"]
[[arrivals]]
every = "10s"
count = 5
[[runners]]
duration = "1s"
"""
SLOW = "[defaults]\nmin_spacing_ms = 60000\n[agents.ops]\n[agents.research]\n"


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO)
    return path


def test_figures_of_a_scenario_under_the_configuration_in_force(wake: WakeCli, scenario: Path) -> None:
    """The test's own sets no spacing: each completion has a turn of its own, at once."""
    (run,) = wake.json("simulate", "--scenario", str(scenario))["runs"]
    assert (run["total"]["completions"], run["total"]["heartbeats"], run["balance"], run["waiting"]) == (10, 10, 0, 0)
    assert run["total"]["waits"] == {"p50_ms": 0, "p95_ms": 0, "max_ms": 0}
    assert run["agents"]["ops"]["completions"] == 5
    assert wake.client.dbsize() == 0, "the server in force is not touched"
    shown = wake.run("simulate", "--scenario", str(scenario))
    assert shown.code == 0
    assert "all 2" in shown.out


def test_another_policy_is_compared(wake: WakeCli, scenario: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.toml").write_text(SLOW)
    words = ("simulate", "--scenario", str(scenario), "--policy", str(tmp_path / "slow.toml"))
    both = wake.json(*words, "--compare")
    assert [run["total"]["heartbeats"] for run in both["runs"]] == [10, 4]
    assert both["compared"].startswith("−60 % heartbeats, +")  # noqa: RUF001  # a minus sign
    alone = wake.json(*words)
    assert [run["total"] for run in alone["runs"]] == [both["runs"][1]["total"]]
    assert alone["runs"][0]["total"]["deferrals"] == {"min-spacing": 2}


def test_what_really_arrived(wake: WakeCli) -> None:
    """Read only, in the order and with the turns that there were; quiet ones did not wake and do not here."""
    for number in range(3):
        wake.deposit(f"c{number}")
    wake.deposit("quiet", "agent:ops:main", "--exit-code", "0")
    wake.heartbeat()
    before = snapshot(wake.client)
    document = wake.json("simulate", "--from-ledger", "1h")
    assert snapshot(wake.client) == before
    (run,) = document["runs"]
    assert run["total"]["completions"] == 3
    assert set(run["agents"]) == {"ops"}
    assert run["balance"] == 0


def test_a_ledger_without_anything(wake: WakeCli) -> None:
    done = wake.run("simulate", "--from-ledger", "2020-01-01T00:00+00:00", "--json")
    assert done.code == 1
    assert "name an earlier time" in done.document["error"]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--scenario", "a.toml", "--from-ledger", "1h"),
        ("--from-ledger", "yesterday"),
        ("--scenario", "there-is-none.toml"),
        ("--scenario", "scenario.toml", "--compare"),
        ("--scenario", "scenario.toml", "--picture", "no-folder/a.svg"),
        ("--scenario", "scenario.toml", "--picture", "."),
        ("--scenario", "scenario.toml", "--picture", "/proc/a.svg"),
    ],
    ids=" ".join,
)
def test_refused(words: tuple[str, ...], wake: WakeCli, scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a server is asked: none is there."""
    assert scenario.exists()
    monkeypatch.setenv("WAKE_REDIS_URL", f"unix://{wake.folder}/nobody.sock?db=0")
    assert wake.run("simulate", *words).code == 2


def test_a_picture(wake: WakeCli, scenario: Path, tmp_path: Path) -> None:
    """Well-formed, with a row for each agent; a fleet is summarised."""
    assert wake.run("simulate", "--scenario", str(scenario), "--picture", "few.svg").code == 0
    few = _texts(tmp_path / "few.svg")
    assert {"ops", "research", "arrival", "ran"} <= few
    scenario.write_text('duration = "1m"\nagents = 60\n[settings]\n[[arrivals]]\nat = ["1s"]\n[[runners]]\nduration = "5s"\n')
    assert wake.run("simulate", "--scenario", str(scenario), "--picture", "many.svg").code == 0
    many = _texts(tmp_path / "many.svg")
    assert {"all 60", "the 20 that waited longest"} <= many
    assert len([text for text in many if text.startswith("agent-")]) == 20


def test_what_was_found_is_told_although_the_picture_finds_no_room(wake: WakeCli, scenario: Path) -> None:
    """No file of this process may grow by then, as on a disk that became full."""
    script = "from dispatcher.cli import simulation_run as s; import resource; w = s._draw; s._draw = lambda *a: "
    script += "(resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)), w(*a)); from dispatcher.cli.app import run; raise SystemExit(run())"
    words = [sys.executable, "-c", script, "simulate", "--scenario", str(scenario), "--picture", "few.svg"]
    done = subprocess.run(words, cwd=scenario.parent, env=environment(wake.url), capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, "simulated in" in done.stdout) == (1, True), done
    assert "few.svg: File too large; name another file" in done.stderr


def _texts(path: Path) -> set[str]:
    root = ET.fromstring(path.read_text("utf-8"))  # our own file
    return {element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile(range(1, 101), p) for p in (50, 95, 100)] == [50, 95, 100]
    assert (percentile([7], 50), percentile([], 50)) == (7, None)


def test_the_words_of_a_comparison() -> None:
    def report(heartbeats: int, p95_ms: int | None) -> Report:
        return Report(Figures(heartbeats=heartbeats, waits=Waits(p95_ms, p95_ms, p95_ms)), {}, 0, 0, 0)

    assert compared(report(100, 1_000), report(59, 13_000)) == "−41 % heartbeats, +12 s median wait, +12 s p95 wait"  # noqa: RUF001  # a minus sign
    assert compared(report(0, None), report(3, 5)) == "+3 heartbeats"
    assert compared(report(5, 500), report(5, 500)) == "±0 % heartbeats, ±0 s median wait, ±0 s p95 wait"
