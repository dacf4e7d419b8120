"""Another configuration without a restart: checked first, for all processes of a store or for one, and refused as a whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.gateway import RECORDER, Gateway
from tests.support.sources import ROOT

LONG = {"runner": RECORDER, "every": "0"}


def reload(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "dispatcher.cli", "reload", "--wait", "40"],
        cwd=gateway.folder,
        env=os.environ | gateway.env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def started(gateway: Gateway, **pool: Any) -> None:
    gateway.configure(agents={"ops": LONG}, pools={"agents": pool})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()


@pytest.mark.parametrize("pool", [{}, {"pool_type": "prefork", "concurrency": 1}], ids=["threads", "prefork"])
def test_a_new_agent_and_a_cadence_without_a_restart(gateway: Gateway, pool: dict[str, Any]) -> None:
    """Router, worker and, under prefork, its children take both over; heartbeats that run are not disturbed."""
    started(gateway, **pool)
    gateway.plan("ops", gate="running")
    gateway.submit("before")
    gateway.started(1)
    gateway.configure(agents={"ops": LONG, "fresh": {}}, defaults={"every": "1s"}, pools={"agents": pool})
    done = reload(gateway)
    assert done.returncode == 0, done
    assert done.stdout.count("reloaded") >= 2, done
    gateway.submit("to-fresh", session="agent:fresh:main")
    if not pool:
        gateway.started(2, "fresh")
    assert gateway.beats("ops")[0].ended is None
    gateway.open("running")
    wait_until(lambda: {"to-fresh"} <= {one for beat in gateway.beats("fresh") for one in beat.ids}, 40, "the new agent is served")
    wait_until(lambda: any(one.startswith("tick:fresh:") for beat in gateway.beats("fresh") for one in beat.ids), 40, "its cadence, too")
    assert [beat.attempt for beat in gateway.beats("ops")] == [1] * len(gateway.beats("ops"))


def test_a_file_that_is_not_usable_changes_nothing(gateway: Gateway) -> None:
    """Refused before anybody is told; a process that is told by a signal keeps the old one, and says why."""
    started(gateway)
    good = gateway.config_file.read_text()
    gateway.config_file.write_text(good + "\n[agents.fresh]\nevery = 'often'\n")
    done = reload(gateway)
    assert done.returncode == 2
    assert "is no duration" in done.stderr
    router, worker = gateway.workers
    for process in (router, worker):
        process.signal(signal.SIGHUP)
        process.hears("reload refused, the configuration in force stays")
    gateway.submit("c1")
    gateway.quiet(settled=1)
    gateway.config_file.write_text(good + "\n[agents.fresh]\n")
    for process in (router, worker):
        process.signal(signal.SIGHUP)
        process.hears("reloaded")
    gateway.submit("c2", session="agent:fresh:main")
    gateway.quiet(settled=2)
    assert router.alive
    assert worker.alive


def test_what_needs_a_restart_is_told_and_left_as_it_is(gateway: Gateway) -> None:
    """Queues, leases and connections of a running process are not changed under it."""
    started(gateway)
    gateway.configure(agents={"ops": LONG, "fresh": {}}, lease={"renew_ms": 4_000}, pools={"agents": {"partitions": 3}})
    done = reload(gateway)
    assert done.returncode == 0, done
    assert "with the next start only: [lease], [pools.agents]" in " ".join(done.stdout.split())
    gateway.submit("c1", session="agent:fresh:main")
    gateway.quiet(settled=1)


@pytest.mark.slow
def test_pending_work_keeps_its_meaning(gateway: Gateway) -> None:
    """A deferral that was decided stays until its time; a tick of the same cadence stays pending, one of another is computed afresh."""
    gateway.configure(agents={"ops": {"every": "6h", "min_spacing_ms": 3_600_000}})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    wait_until(lambda: dict(gateway.store.cadences.pending("agents")), 30, "the first tick is set")
    tick = dict(gateway.store.cadences.pending("agents"))["ops"]
    gateway.submit("c1")
    gateway.quiet(settled=1)
    gateway.submit("c2")
    wait_until(lambda: "deferred" in gateway.records(), 30, "the second one is deferred")
    gateway.configure(agents={"ops": {"every": "6h", "min_spacing_ms": 3_600_000, "max_batch": 7}})
    assert reload(gateway).returncode == 0
    assert dict(gateway.store.cadences.pending("agents"))["ops"] == tick
    gateway.configure(agents={"ops": {"every": "5h", "min_spacing_ms": 3_600_000}})
    assert reload(gateway).returncode == 0
    wait_until(lambda: dict(gateway.store.cadences.pending("agents"))["ops"].cadence.startswith("18000000/"), 30, "the tick is another")
    status = gateway.store.ledger.agent("ops")
    assert status is not None
    assert status.pending == 1
    assert status.deferrals["event"][1] == "min-spacing"
    gateway.configure(agents={"ops": {"min_spacing_ms": 0}})
    assert reload(gateway).returncode == 0
    gateway.quiet(settled=2)  # what the new rules let run does not wait for the end of the old deferral
