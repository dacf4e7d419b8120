"""The course of `wake simulate`: read what is asked, run it once or twice, and show it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dispatcher.cli.output import complain, document, say, table
from dispatcher.cli.reach import configuration, reach
from dispatcher.config import Config, load
from dispatcher.core.durations import duration_words, parse_duration_ms
from dispatcher.core.errors import ConfigError
from dispatcher.core.exit_codes import NO
from dispatcher.simulate.apart import processors, simulate_apart
from dispatcher.simulate.course import Course, Plan, plan_of
from dispatcher.simulate.picture import picture
from dispatcher.simulate.recorded import recorded_plan
from dispatcher.simulate.report import Figures, Report, compared, report_of
from dispatcher.simulate.scenario import read_scenario, unknown

SHOWN_AGENTS = 50


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    scenario: str | None
    since: str | None
    policy: str | None
    compare: bool
    picture: str | None
    config: str | None
    as_json: bool


@dataclass(frozen=True)
class Case:
    """One run: what happens under which configuration."""

    name: str
    plan: Plan
    config: Config


def run(asked: Asked) -> None:
    cases = _cases(asked)
    if asked.picture:
        _can_be_written(Path(asked.picture))
    began = time.monotonic()
    courses = []
    for case in cases:
        with _progress(case) as on_progress:
            courses.append(simulate_apart(case.plan, case.config, processors(), on_progress))
    seconds = time.monotonic() - began
    reports = [report_of(course) for course in courses]
    if asked.as_json:
        _tell(cases, reports, seconds)
    else:
        _show(cases, courses, reports, seconds)
    if asked.picture:  # last: what was found is told, even when the disk became full meanwhile
        _draw(Path(asked.picture), picture(courses[-1], cases[-1].name))


def _can_be_written(path: Path) -> None:
    """Before a run that may take minutes. Leaves what is there as it is. Raises a usage error."""
    there = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror or error}; name another file", param_hint="--picture") from None
    if not there:
        path.unlink(missing_ok=True)


def _draw(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        complain(f"simulate: the picture {path}: {error.strerror or error}; name another file with --picture")
        raise typer.Exit(NO) from None


def _cases(asked: Asked) -> list[Case]:
    if (asked.scenario is None) == (asked.since is None):
        raise typer.BadParameter("name one of --scenario and --from-ledger")
    if asked.compare and asked.policy is None:
        raise typer.BadParameter("what is to be compared? name the other configuration with --policy", param_hint="--compare")
    if asked.policy and not Path(asked.policy).is_file():
        raise typer.BadParameter(f"there is no file {asked.policy}", param_hint="--policy")
    other = load(Path(asked.policy), {}) if asked.policy else None
    name, plan, present = _present(asked, other)
    if asked.policy is None or other is None:
        return [Case(name, plan, present)]
    cases = [Case(f"{name}, {Path(asked.policy).name}", plan, other)]
    return [Case(name, plan, present), *cases] if asked.compare else cases


def _present(asked: Asked, other: Config | None) -> tuple[str, Plan, Config]:
    """What happens, and the present configuration for it. Raises ConfigError if one of both knows an agent of the scenario not."""
    if asked.scenario is not None:
        path = Path(asked.scenario)
        scenario, own = read_scenario(path)
        config = own or configuration(asked.config)
        for used in (config, other):
            if used is not None and (problems := unknown(scenario, used)):
                raise ConfigError(problems, str(used.source or path))
        return scenario.name if scenario.name != "scenario" else path.stem, plan_of(scenario), config
    since_ms = _since(asked.since or "")
    found = reach(asked.config)
    return f"ledger since {asked.since}", recorded_plan(found.store, since_ms(found.store.ledger.now_ms())), found.config


def _since(text: str) -> Callable[[int], int]:
    """The first ms to look at, from the server's present one."""
    try:
        ago_ms = parse_duration_ms(text)
        return lambda now_ms: now_ms - ago_ms
    except ValueError:
        pass
    try:
        at_ms = round(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
        return lambda _: at_ms
    except ValueError:
        said = f'{text[:40]!r} is neither a duration such as "24h" nor a time such as 2026-03-01T08:00+01:00'
        raise typer.BadParameter(said, param_hint="--from-ledger") from None


@contextmanager
def _progress(case: Case) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal's standard error; nothing elsewhere."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda _ms: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(case.name, total=case.plan.duration_ms)
        yield lambda at_ms: bar.update(task, completed=at_ms - case.plan.start_ms)


def _tell(cases: list[Case], reports: list[Report], seconds: float) -> None:
    both = zip(cases, reports, strict=True)
    runs = [{"name": case.name, "simulated_ms": case.plan.duration_ms} | report.document() for case, report in both]
    found: dict[str, object] = {"duration_s": round(seconds, 1), "runs": runs}
    document(found | ({"compared": compared(*reports)} if len(reports) == 2 else {}))


def _show(cases: list[Case], courses: list[Course], reports: list[Report], seconds: float) -> None:
    for case, course, report in zip(cases, courses, reports, strict=True):
        shown = report.agents if 1 < len(report.agents) <= SHOWN_AGENTS and len(cases) == 1 else {}
        rows = [*(_row(name, figures) for name, figures in shown.items()), _row(f"all {len(report.agents)}", report.total)]
        columns = ("agent", "in", "turns", "p50", "p95", "max", "waited for", "beside")
        table(columns, rows, title=f"{case.name}: {duration_words(course.plan.duration_ms)}")
        if report.balance:
            say(f"balance {report.balance}: the simulation itself lost or doubled a completion; this is a fault of the program")
        if report.waiting:
            say(f"{report.waiting} wakes have not started, or not ended, at the end")
    if len(reports) == 2:
        say(compared(*reports))
    say(f"simulated in {seconds:.1f} s")


def _row(name: str, figures: Figures) -> tuple[object, ...]:
    waits = figures.waits
    not_run = {"busy": figures.busy, "failed": figures.failed, "lost": figures.lost} | {f"dead: {k}": n for k, n in figures.dead.items()}
    times = [None if ms is None else duration_words(ms) for ms in (waits.p50_ms, waits.p95_ms, waits.max_ms)]
    beside = {f"avoidable: {word}": count for word, count in figures.avoidable.items()} | not_run
    return (name, figures.completions, figures.heartbeats, *times, _words(figures.deferrals), _words(beside))


def _words(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or None
