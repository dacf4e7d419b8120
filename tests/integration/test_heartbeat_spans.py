"""A trace from the producer to the runner: the context travels with each completion, a heartbeat is one span that links them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

import dispatcher
from dispatcher.app import forget_current
from dispatcher.causes import heartbeat_of, inherited_trace
from dispatcher.core.models import Failed, HeartbeatRequest
from tests.support.desk import Desk
from tests.support.exec_process import WAKE, environment, exec_words
from tests.support.receiver import Got, Handler, Receiver, Reply, answering
from tests.support.requests import request
from tests.support.server import Server
from tests.support.shift import TOML, Scripted, Shift
from workers import tracing
from workers.runners.python import PythonRunner

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What this process exports. A process has one provider for ever; this one is taken back."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_links=tracing.MAX_LINKS), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def parent_of(number: int) -> dict[str, str]:
    return {"traceparent": f"00-{number:032x}-{number:016x}-01"}


def linked(span: ReadableSpan) -> dict[Any, str]:
    """Completion -> the trace it came from."""
    return {(link.attributes or {})["wake.completion_id"]: f"{link.context.trace_id:x}" for link in span.links}


def test_a_heartbeat_is_one_span_with_a_link_to_every_completion(desk: Desk, spans: InMemorySpanExporter) -> None:
    runner = Scripted()
    shift = Shift(desk, TOML, ops=runner)
    for number in range(1, 201):
        desk.submit(completion_id=f"c{number}", session_key="agent:ops:main", trace=parent_of(number))
    shift.came("untraced")
    assert shift.beat() == "ran"
    (span,) = spans.get_finished_spans()
    assert linked(span) == {f"c{number}": f"{number:x}" for number in range(1, 201)}
    assert span.parent is None
    attributes = dict(span.attributes or {})
    assert attributes.pop("wake.batch_id") == runner.requests[0].batch_id
    assert attributes == {
        "wake.agent_id": "ops",
        "wake.attempt": 1,
        "wake.reason": "exec-event",
        "wake.intent": "event",
        "wake.source": "exec-event",
        "messaging.batch.message_count": 201,
        "wake.outcome": "ran",
    }
    assert (span.name, span.kind, span.status.is_ok) == ("heartbeat", trace.SpanKind.CONSUMER, True)
    given = (runner.requests[0].trace or {})["traceparent"]
    assert span.context is not None
    assert given[:52] == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}", "the runner gets the heartbeat's own context"
    shift.close()


def test_each_attempt_is_a_span_and_a_failure_says_so(desk: Desk, spans: InMemorySpanExporter) -> None:
    shift = Shift(desk, TOML, ops=Scripted(Failed(error="boom", final=True)))
    shift.came("c1", trace=parent_of(7))
    assert shift.beat() == "failed"
    (span,) = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "boom")
    assert linked(span) == {"c1": "7"}
    shift.close()


def test_without_a_provider_the_context_of_the_newest_completion_travels(desk: Desk) -> None:
    """So also where the extra is not installed."""
    runner = Scripted()
    shift = Shift(desk, TOML, ops=runner)
    shift.came("c1", trace=parent_of(1))
    shift.came("c2", trace=parent_of(2))
    assert shift.beat() == "ran"
    assert runner.requests[0].trace == parent_of(2)
    shift.close()


def test_without_the_library_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(tracing, "otel", None)
    test_without_a_provider_the_context_of_the_newest_completion_travels(desk)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    tracing.start_tracing()
    assert "OTEL_EXPORTER_OTLP_ENDPOINT asks for tracing" in caplog.text
    assert "pip install 'wake-dispatcher[tracing]'" in caplog.text


@pytest.fixture
def here(redis_client: redis.Redis, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """This process is a producer; the client sees what it submits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAKE_REDIS_URL", server.url)
    forget_current()
    yield redis_client
    forget_current()


def submitted(client: Any) -> list[dict[str, Any]]:
    return [json.loads(fields["body"]) for _, fields in client.xrange("wake:{inbox}:stream")]


def test_delay_takes_the_current_span_along(here: Any, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    with trace.get_tracer("producer").start_as_current_span("tool") as span:
        dispatcher.exec_completed.delay(session_key="agent:ops:main", exit_code=1)
        dispatcher.wake_requested.delay(session_key="agent:ops:main")
        dispatcher.exec_completed.delay(session_key="agent:ops:main", exit_code=1, trace={"traceparent": PARENT})
    dispatcher.exec_completed.delay(session_key="agent:ops:main", exit_code=1)
    own = f"00-{span.get_span_context().trace_id:032x}-{span.get_span_context().span_id:016x}"
    assert [body["trace"]["traceparent"][:52] for body in submitted(here)] == [own, own, PARENT[:52], PARENT[:52]]
    assert not spans.get_finished_spans()[1:]


def test_inside_a_heartbeat_its_context_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the heartbeat, never that of whoever started the worker."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    for given in (parent_of(3), None):
        asked: HeartbeatRequest = request(trace=given)
        with heartbeat_of(asked):
            assert inherited_trace() == given
    assert inherited_trace() == {"traceparent": PARENT}


def test_commands_take_their_environment_along(here: Any, server: Server, tmp_path: Path) -> None:
    env = environment(server.url, TRACEPARENT=PARENT, TRACESTATE="a=b")
    (tmp_path / "wake.toml").write_text("[agents.ops]\n")
    for words in (exec_words("--", "false"), [*WAKE, "submit", "--session-key", "agent:ops:main"], [*WAKE, "wake", "ops"]):
        subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, timeout=200, check=False)
    assert [body["trace"] for body in submitted(here)] == [{"traceparent": PARENT, "tracestate": "a=b"}] * 3


def seen_inside(request: HeartbeatRequest) -> None:
    """A heartbeat in this process."""
    INSIDE.append((trace.get_current_span().get_span_context().span_id, inherited_trace(), request.trace))
    with trace.get_tracer("agent").start_as_current_span("tool"):
        pass


INSIDE: list[tuple[int, dict[str, str] | None, dict[str, str] | None]] = []


def test_a_function_runs_inside_the_span(desk: Desk, spans: InMemorySpanExporter) -> None:
    """The current span is the heartbeat: what the function begins is its child, and what it reports carries it on."""
    INSIDE.clear()
    shift = Shift(desk, TOML)
    shift.worker._runners["ops"] = PythonRunner(f"{__name__}:seen_inside")
    shift.came("c1", trace=parent_of(7))
    assert shift.beat() == "ran"
    tool, heartbeat = spans.get_finished_spans()
    assert heartbeat.context is not None
    assert tool.parent is not None
    assert (tool.name, tool.parent.span_id, tool.parent.trace_id) == ("tool", heartbeat.context.span_id, heartbeat.context.trace_id)
    [(current, inherited, given)] = INSIDE
    assert current == heartbeat.context.span_id
    assert inherited == given
    assert (given or {})["traceparent"][36:52] == f"{current:016x}"
    shift.close()


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes this process export to that collector, as a worker does at its start; taken back afterwards."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())

    def begin(url: str) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
        tracing.start_tracing()

    yield begin
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.shutdown()


def exported(collector: Receiver) -> list[Any]:
    requests = [ExportTraceServiceRequest.FromString(got.body) for got in collector.got]
    return [span for one in requests for of in one.resource_spans for scope in of.scope_spans for span in scope.spans]


def test_a_collector_gets_the_span_by_otlp(desk: Desk, collected: Callable[[str], None]) -> None:
    shift = Shift(desk, TOML, ops=Scripted(Failed(error="boom", final=True)))
    shift.came("c1", trace=parent_of(7))
    with Receiver(answering(Reply())) as collector:
        collected(collector.url.removesuffix("/wake"))
        assert shift.beat() == "failed"
        got = collector.has_got()
        assert (got.path, got.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
        (span,) = exported(collector)
        resource = ExportTraceServiceRequest.FromString(got.body).resource_spans[0].resource
    assert {one.key: one.value.string_value for one in resource.attributes}["service.name"] == "wake-dispatcher"
    assert (span.name, span.links[0].trace_id.hex(), span.status.message) == ("heartbeat", f"{7:032x}", "boom")
    shift.close()


def test_a_collector_that_never_answers_delays_and_fails_no_heartbeat(desk: Desk, collected: Callable[[str], None]) -> None:
    """Heartbeats begin and end while it holds an export back; what it has got then is lost or comes later."""
    shift, release = Shift(desk, TOML), threading.Event()

    def hold(_handler: Handler, _got: Got) -> Reply:
        release.wait(60)
        return Reply(503)

    with Receiver(hold) as collector:
        collected(collector.url.removesuffix("/wake"))
        shift.worker._runners["ops"] = Scripted()
        shift.came("c0")
        assert shift.beat() == "ran"
        collector.has_got()
        for number in range(1, 4):
            shift.came(f"c{number}")
            assert shift.beat() == "ran"
        assert not release.is_set()
        release.set()
    shift.came("c4")
    assert shift.beat() == "ran", "and none listens there any more"
    shift.close()
