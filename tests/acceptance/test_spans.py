"""Spans of real workers: what is asked for by OTEL_… in the environment, and seen by a command."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker
from tests.support.gateway_fixture import gateway

__all__ = ["gateway"]
pytestmark = pytest.mark.slow
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def spans(worker: Worker) -> list[dict[str, Any]]:
    """What the console exporter wrote among the lines of the worker."""
    text, decoder, found = worker.said(), json.JSONDecoder(), []
    place = text.find('{\n    "name": "heartbeat"')
    while place >= 0:
        try:
            span, end = decoder.raw_decode(text, place)
        except ValueError:  # half written
            break
        found.append(span)
        place = text.find('{\n    "name": "heartbeat"', end)
    return found


@pytest.mark.parametrize("pool_type", ["threads", "prefork"])
def test_from_a_producer_to_the_environment_of_a_command(gateway: Gateway, pool_type: str) -> None:
    runner = {"type": "command", "command": ["sh", "-c", "echo $TRACEPARENT > given"]}
    gateway.configure(agents={"ops": {"runner": runner}}, pools={"agents": {"pool_type": pool_type}})
    gateway.start_router()
    worker = gateway.start("worker", env={"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "100"})
    gateway.ready()
    gateway.submit("c1", trace={"traceparent": PARENT})
    gateway.quiet(settled=1)
    wait_until(lambda: spans(worker), PATIENCE_S, "the worker exports its span")
    (span,) = spans(worker)
    (link,) = span["links"]
    assert link["context"]["trace_id"] == "0x4bf92f3577b34da6a3ce929d0e0e4736"
    assert link["attributes"] == {"wake.completion_id": "c1"}
    assert (span["parent_id"], span["attributes"]["wake.outcome"]) == (None, "ran")
    assert span["resource"]["attributes"]["service.name"] == "wake-dispatcher"
    given = (gateway.folder / "given").read_text().split("-")
    assert [f"0x{given[1]}", f"0x{given[2]}"] == [span["context"]["trace_id"], span["context"]["span_id"]]


@pytest.mark.parametrize("pool_type", ["threads", "prefork"])
def test_the_last_heartbeat_of_a_worker_that_leaves_is_counted(gateway: Gateway, pool_type: str) -> None:
    """It may finish within the grace period, and what it observed is not lost with its process."""
    gateway.configure(pools={"agents": {"pool_type": pool_type}}, lease={"grace_ms": 60_000})
    gateway.plan(gate="ops")
    gateway.start_router()
    worker = gateway.start("worker", env={"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "600000"})
    gateway.ready()
    gateway.submit("c1", trace={"traceparent": PARENT})
    gateway.started(1)
    worker.signal(signal.SIGTERM)
    worker.hears("leaving: nothing begins here")
    gateway.open("ops")
    assert worker.ends() == 0
    counts = gateway.store.observed.of_pools(["agents"])["agents"]
    assert sum(count for field, count in counts.items() if field.startswith("wake_settle_delay_seconds\x1fle")) == 1
    assert [span["attributes"]["wake.outcome"] for span in spans(worker)] == ["ran"]
