"""`wake health`: what a container's probe or a service manager gets to hear."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dispatcher.cli.health import HANGS_S
from dispatcher.names import host_name
from dispatcher.pulse import Pulse, beats
from dispatcher.routing import Router
from dispatcher.store.keys import Keys
from tests.support.exec_process import environment
from tests.support.wake_cli import TOML, WakeCli, present


def holder(role: str, serves: str, host: str | None = None, pid: int | None = None) -> str:
    return f"{role}.{serves}.{host or host_name()}.{pid or os.getpid()}.ab"


def beating(wake: WakeCli, *holders: str) -> None:
    for name in holders:
        Pulse(wake.config.data_dir, name).beat()


def test_a_host_that_only_reports_is_ready_when_server_and_store_are(wake: WakeCli) -> None:
    shown = wake.json("health")
    assert shown == {"healthy": True, "probe": "ready", "role": None, "pool": None, "processes": [], "problems": []}
    assert not wake.client.keys("*"), "a probe writes nothing"


def test_ready_asks_for_the_processes_of_this_host(wake: WakeCli) -> None:
    """Those of other hosts, of another role and of another pool do not count."""
    with present(wake, holder("router", "inbox"), holder("worker", "quiet"), holder("worker", "agents", "elsewhere")):
        assert wake.json("health", "--role", "router")["processes"] == [holder("router", "inbox")]
        assert wake.json("health", "--pool", "quiet")["processes"] == [holder("worker", "quiet")]
        done = wake.run("health", "--ready", "--role", "worker", "--pool", "agents", "--json")
        assert (done.code, done.document["healthy"], done.document["processes"]) == (1, False, [])
        assert "no worker of pool agents on this host" in done.err
    assert wake.run("health", "--role", "router").code == 1


def test_ready_refuses_a_store_that_is_laid_out_otherwise(wake: WakeCli) -> None:
    wake.client.hset(Keys("wake", 64).layout, mapping={"layout": "1", "slots": "8", "prefix": "wake"})
    done = wake.run("health", "--json")
    assert (done.code, done.document["healthy"]) == (1, False)
    assert "slots is 8 there and 64 here" in done.err


def test_a_server_that_is_away_makes_a_host_unready_but_not_dead(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKE_REDIS_URL", "redis://:aPassword@127.0.0.1:1/0")
    beating(wake, holder("worker", "agents"))
    done = wake.run("health", "--role", "worker", "--json")
    assert (done.code, done.document["healthy"]) == (75, False)
    assert "aPassword" not in done.out + done.err
    assert wake.run("health", "--live", "--role", "worker").code == 0


def test_live_asks_for_processes_that_go_round(wake: WakeCli) -> None:
    assert wake.run("health", "--live").code == 1
    beating(wake, holder("worker", "agents"))
    assert wake.json("health", "--live")["processes"] == [holder("worker", "agents")]
    assert wake.run("health", "--live", "--pool", "agents").code == 0
    assert wake.run("health", "--live", "--pool", "quiet").code == 1
    assert wake.run("health", "--live", "--role", "router").code == 1


def test_a_process_that_hangs_is_not_live(wake: WakeCli) -> None:
    name = holder("worker", "agents")
    beating(wake, name)
    path = wake.config.data_dir / "alive" / f"{name}.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps(written | {"at_s": written["at_s"] - HANGS_S - 1}))
    done = wake.run("health", "--live")
    assert done.code == 1
    assert f"pid {os.getpid()}, hangs" in done.err


def test_what_a_dead_process_left_behind_says_nothing(wake: WakeCli) -> None:
    """Neither a process that was killed, nor one whose number another process has now, nor a process of another host."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    beating(wake, holder("worker", "agents", pid=gone.pid), holder("router", "inbox"), holder("worker", "quiet", "elsewhere"))
    taken = wake.config.data_dir / "alive" / f"{holder('router', 'inbox')}.json"
    taken.write_text(json.dumps(json.loads(taken.read_text()) | {"started": "1"}))
    (taken.parent / "no.file.of.ours.at.all.json").write_text("{")
    assert beats(wake.config.data_dir, host_name()) == []
    assert not taken.exists()
    assert wake.run("health", "--live").code == 1


def test_a_folder_that_cannot_be_written_costs_no_work(wake: WakeCli) -> None:
    (wake.folder / ".wake").write_text("a file in its place")
    beating(wake, holder("worker", "agents"))
    Pulse(wake.config.data_dir, holder("worker", "agents")).stop()
    assert wake.run("health", "--live").code == 1


def test_a_probe_loads_no_celery(wake: WakeCli) -> None:
    """It runs every few seconds beside the work."""
    loaded = "[m for m in sys.modules if m in ('celery', 'kombu')]"
    words = f"import sys; from dispatcher.cli.app import run; code = run(['health']); print(code, {loaded})"
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=wake.folder, env=environment(wake.url), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout.splitlines()[-1] == "0 []", done


@pytest.mark.parametrize("words", [("--live", "--ready"), ("--role", "router", "--pool", "agents"), ("--role", "nobody")])
def test_contradictions_are_refused(wake: WakeCli, words: tuple[str, ...]) -> None:
    assert wake.run("health", *words).code == 2


def test_a_configuration_that_cannot_be_read_is_said(wake: WakeCli) -> None:
    wake.configure(TOML + "[logging]\nformat = 'xml'\n")
    done = wake.run("health", "--live")
    assert done.code == 2
    assert "logging.format: must be 'human' or 'json'" in done.err


@pytest.mark.slow
def test_a_router_with_a_long_inbox_has_a_pulse_within_the_round(wake: WakeCli) -> None:
    """A round ends when the inbox is empty; under load that may be much later than a hang is called one."""
    for n in range(3):
        wake.submit(f"c{n}")
    router = Router(wake.store, wake.config, wake.bells)
    pages = []
    router.drain.on_page = lambda: pages.append(wake.store.ledger.inbox_depth())
    wake.store.inbox.prepare()
    router.drain_inbox(limit=1)
    assert pages[:3] == [2, 1, 0]
