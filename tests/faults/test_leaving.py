"""What a real worker says of its heartbeats, that it lives without its server, and that a second signal ends its patience."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

import pytest

from dispatcher.names import host_name
from dispatcher.pulse import beats
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker, ids
from workers.draining import ONE_WISH_S, Draining

TALKER = """
import logging

def beat(request):
    logging.getLogger("a.runner").warning("turn\\x1b[31m of %s\\n2026 ERROR forged", request.agent_id)
    raise RuntimeError("it did not work")
"""


def lines(worker: Worker) -> list[dict[str, Any]]:
    """Everything that the worker said, which must be one JSON object a line."""
    return [json.loads(line) for line in worker.said().splitlines()]


def test_every_line_of_a_heartbeat_names_agent_batch_token_and_completions(gateway: Gateway) -> None:
    """Those of its runner and of its lease keeper too."""
    (gateway.folder / "talker.py").write_text(TALKER)
    gateway.configure(logging={"format": "json"}, defaults={"runner": {"type": "python", "target": "talker:beat"}, "max_failures": 1})
    gateway.submit(*ids("c", 9))
    router, worker = gateway.start_router(), gateway.start_worker()
    gateway.quiet(dead=9)
    worker.hears('"heartbeat failed')
    said = [line for line in lines(worker) if "agent" in line]
    assert {line["logger"] for line in said} >= {"a.runner", "workers.agent_worker"}
    (token,) = {line["token"] for line in said}
    for line in said:
        assert (line["agent"], line["batch"], line["attempt"], line["n"]) == ("ops", f"ops-{token}", 1, 9)
        assert line["completions"] == ids("c", 5)
    assert [line["message"] for line in said if line["logger"] == "a.runner"] == ["turn of ops 2026 ERROR forged"]
    for process in (router, worker):
        process.signal(signal.SIGTERM)
        assert process.ends() == 0
        assert not [line for line in lines(process) if "agent" in line and "batch" not in line]


@pytest.mark.slow
def test_a_lost_lease_is_told_with_the_ids_of_its_heartbeat(gateway: Gateway) -> None:
    """By a thread that is not the heartbeat's own."""
    gateway.configure(logging={"format": "json"}, lease={"ttl_ms": 8000, "renew_ms": 500, "margin_ms": 500})
    gateway.plan(gate="goes-on")
    gateway.submit("c1")
    gateway.start_router()
    worker = gateway.start_worker()
    (beat,) = gateway.started(1)
    gateway.server.freeze()
    worker.hears("lease lost: not renewed in time")
    gateway.server.thaw()
    (line,) = [line for line in lines(worker) if line["message"].startswith("lease lost")]
    assert (line["agent"], line["batch"], line["token"], line["completions"]) == ("ops", beat.batch_id, beat.token, ["c1"])
    gateway.open("goes-on")
    gateway.quiet(settled=1)


@pytest.mark.slow
def test_router_and_worker_live_on_without_their_server(gateway: Gateway) -> None:
    """Else every probe of every container would fail at once, and all would be started again for nothing."""
    router, worker = gateway.start_router(), gateway.start_worker()
    gateway.ready()
    gateway.server.kill()

    def last_round(pid: int) -> float:
        """When the loop of this process last came round, as its file tells; monotonic. 0 before the first time."""
        paths = list((gateway.config.data_dir / "alive").glob(f"*.{pid}.*.json"))
        return float(json.loads(paths[0].read_text())["at_s"]) if paths else 0.0

    def await_round(process: Worker, after_s: float) -> None:
        wait_until(lambda: last_round(process.pid) > after_s, PATIENCE_S, f"{process.log.name} goes round")

    for process in (router, worker):
        await_round(process, last_round(process.pid))
    assert {beat.holder.pid for beat in beats(gateway.config.data_dir, host_name())} == {router.pid, worker.pid}
    assert (router.alive, worker.alive) == (True, True)


def test_a_second_signal_ends_the_patience(gateway: Gateway) -> None:
    """The grace period would be an hour: the batch is handed back at once, and runs elsewhere as its next attempt."""
    gateway.configure(lease={"grace_ms": 3_600_000}, defaults={"max_failures": 1, "max_deliveries": 1})
    gateway.plan(gate="goes-on")
    gateway.submit("c1")
    gateway.start_router()
    leaving = gateway.start_worker()
    gateway.started(1)
    leaving.signal(signal.SIGTERM)
    leaving.hears("what runs has 3600 s")
    heard_s = time.monotonic()
    wait_until(lambda: time.monotonic() - heard_s > ONE_WISH_S, PATIENCE_S, "the time of one wish is over")
    assert gateway.records() == ["begun"]
    leaving.signal(signal.SIGTERM)
    assert leaving.ends() == 0
    assert "asked again: what still runs is handed back" in leaving.said()
    assert gateway.records() == ["begun", "handed-back"]
    gateway.open("goes-on")
    gateway.start_worker()
    gateway.quiet(accepted=1, settled=1)
    assert [beat.attempt for beat in gateway.beats()] == [1, 2]


def test_two_signals_at_the_same_time_are_one_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager signals the whole group, the supervisor then each of its children. What is the same time is said by the clock."""
    monkeypatch.setattr("workers.draining.leaving", threading.Event())
    monkeypatch.setattr("workers.draining.ONE_WISH_S", 3600.0)
    draining = Draining(3600.0)
    for _ in range(3):
        draining._shutting_down()
    assert not draining._impatient
    monkeypatch.setattr("workers.draining.ONE_WISH_S", 0.0)
    draining._shutting_down()
    assert draining._impatient
