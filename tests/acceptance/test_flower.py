"""What an operator finds in Flower: pools, routes and heartbeats of a live system, in the API and on a page; and what nobody finds."""

from __future__ import annotations

import html
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S
from tests.support.requests import read
from tests.support.sources import ROOT
from tests.support.watched import TASKS, Watched

pytestmark = pytest.mark.slow
SECRET = "hunter2-in-the-output"
HEARTBEAT, ROUTE, RAW = "workers.heartbeat", "dispatcher.route", "dispatcher.exec_completed"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    system = Watched(tmp_path)
    try:
        yield system
    finally:
        system.close()


def test_an_operator_finds_what_happened(watched: Watched) -> None:
    supervisor = watched.up()
    for agent in ("ops", "build", "hermit"):
        for n in range(4):
            watched.producer.delay(session_key=f"agent:{agent}:main", exit_code=1, output=SECRET, completion_id=f"{agent}-{n}")
    watched.producer.delay(session_key="agent:ghost:main", exit_code=1, output=SECRET)
    watched.raw(session_key="agent:ops:main", exit_code=1, command=SECRET, output=SECRET, completion_id="raw")
    watched.quiet(accepted=14, settled=13, dead=1)

    batches = {beat.batch_id for beat in watched.beats()}
    wait_until(lambda: batches <= {batch_in(task) for task in watched.tasks(HEARTBEAT)}, PATIENCE_S, "every heartbeat is shown")
    wait_until(lambda: {task["state"] for task in watched.tasks(HEARTBEAT)} == {"SUCCESS"}, PATIENCE_S, "no heartbeat's event is missing")
    check_closed_without_the_password(watched)
    check_pools(watched)
    check_heartbeats(watched)
    check_routes(watched)
    check_nothing_secret(watched)
    check_read_only(watched)
    check_page(watched)
    said = supervisor.said()
    assert f"user wake, password in {watched.folder / '.wake' / 'flower.password'}" in said
    assert watched.password not in said
    supervisor.signal(signal.SIGTERM)
    assert supervisor.ends() == 0
    assert "did not end in time" not in supervisor.said()


def check_closed_without_the_password(watched: Watched) -> None:
    file = watched.folder / ".wake" / "flower.password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(watched.password) >= 32
    for path in ("/", "/tasks", "/broker", "/api/workers", TASKS, "/api/queues/length"):
        assert watched.get(path)[0] == 401, path
        assert watched.get(path, "wake:wrong")[0] == 401, path
    lines = [read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in lines if watched.password.encode() in line]


def check_pools(watched: Watched) -> None:
    """One worker for each pool, whose queues bear its name."""
    assert watched.queues() == {
        "router": ["wake.inbox"],
        "agents": [f"wake.agents.{n:02d}" for n in range(16)],
        "research": ["wake.research.00", "wake.research.01"],
    }
    depths = {queue["name"]: queue["messages"] for queue in watched.api("/api/queues/length")["active_queues"]}
    assert {"wake.inbox", "wake.agents.00", "wake.research.01"} <= set(depths)


def check_heartbeats(watched: Watched) -> None:
    """Searching an agent finds its heartbeats and nobody else's; each tells outcome, batch and size; none was left at "received"."""
    for agent, pool in (("ops", "agents"), ("build", "agents"), ("hermit", "research")):
        found = watched.tasks(HEARTBEAT, f"args:{agent}")
        assert {task["args"] for task in found} == {f"('{agent}',)"}
        assert {task["worker"].partition(".")[0] for task in found} == {pool}
        assert {task["state"] for task in found} == {"SUCCESS"}
        assert all(task["started"] for task in found)
        ran = [task["result"] for task in found if "'did': 'ran'" in task["result"]]
        assert {beat.batch_id for beat in watched.beats(agent)} == {batch_in({"result": result}) for result in ran}
        assert all(re.search(r"'n': [1-9]", result) for result in ran)


def check_routes(watched: Watched) -> None:
    def results() -> str:
        return " ".join(task["result"] or "" for task in watched.tasks(ROUTE))

    wait_until(lambda: re.search(r"'wake\.agents\.\d\d': \d", results()), PATIENCE_S, "a route is shown with what it did")
    assert "'dead': 1" in results() or watched.store.ledger.balance().dead == 1  # the router's own timer may have been first
    names = {task["name"] for task in watched.api(TASKS).values()}
    assert names <= {HEARTBEAT, ROUTE, RAW}


def check_nothing_secret(watched: Watched) -> None:
    """Not even of a raw message, whose producer did not hide its arguments."""
    (raw,) = wait_until(lambda: watched.tasks(RAW), PATIENCE_S, "the raw message is shown")
    assert (raw["args"], raw["kwargs"]) == ("(not shown)", "(not shown)")
    assert "'completion_id': 'raw'" in raw["result"]
    assert SECRET not in watched.get(TASKS, f"wake:{watched.password}")[1]


def check_read_only(watched: Watched) -> None:
    """Who may look may not send tasks or stop workers."""
    status, said = watched.ask("POST", f"/api/task/send-task/{HEARTBEAT}", f"wake:{watched.password}", '{"args": ["ops"]}')
    assert (status, said) == (403, "Read only mode is enabled")


def check_page(watched: Watched) -> None:
    """The tables as a person sees them, filled in by the page's own script."""
    rows: list[str] = []

    def of_ops() -> list[str]:
        rows[:] = rows_of(watched.browse("/tasks", "--dump-dom"))
        routed = [row for row in rows if ROUTE in row and re.search(r"\{'wake\.\w+\.\d\d': \d", row)]
        return [row for row in rows if routed and "('ops',)" in row and "'did': 'ran'" in row]

    shown = wait_until(of_ops, PATIENCE_S, "the page shows what ran for ops, and what a route did, which stays for seconds")
    assert {batch_in({"result": row}) for row in shown} <= {beat.batch_id for beat in watched.beats("ops")}
    rows = rows_of(watched.browse("/workers", "--dump-dom"))
    for pool in ("router", "agents", "research"):
        assert [row for row in rows if row.startswith(f"{pool}.") and " Online " in row], rows


def rows_of(page: str) -> list[str]:
    """The text of each row of the page's tables, with spaces between cells only: Flower breaks long names with tags."""
    rows = re.findall(r"<tr\b.*?</tr>", page, re.S)
    texts = [re.sub(r"<[^>]*>", "", re.sub(r"</?t[dh]\b", " <", row)) for row in rows]
    return [" ".join(html.unescape(text).split()) for text in texts]


def batch_in(task: dict[str, Any]) -> str | None:
    found = re.search(r"'batch': '([^']+)'", task["result"] or "")
    return found and found[1]


def test_without_the_extra_nothing_starts(tmp_path: Path) -> None:
    """A finder that hides Flower stands in for an installation without it."""
    hide = "import sys, importlib.util as u; real = u.find_spec; u.find_spec = lambda n, *a: None if n == 'flower' else real(n, *a)"
    run = f"{hide}; from workers.__main__ import main; raise SystemExit(main(['up', '--flower']))"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 2
    assert "pip install 'wake-dispatcher[flower]'" in done.stderr
    assert not list(tmp_path.iterdir())
