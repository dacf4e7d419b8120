"""One span for each heartbeat, with a link to every completion that it carries. Needs the extra `tracing`; without it nothing is missed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dispatcher.core.models import Batch, Failed, HeartbeatRequest
from dispatcher.core.trace_context import trace_context
from workers.runners import RunResult

otel: Any
try:
    from opentelemetry import trace as otel
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    otel = None  # the extra is not installed

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span

log = logging.getLogger(__name__)
MAX_LINKS = 5_000  # a batch has no more; the library's own limit of 128 would drop the rest without a word
ASKED_FOR = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICE = "wake-dispatcher"
Ended = Callable[[RunResult], object]


def start_tracing() -> None:
    """Sets up what the environment asks for, once per process and after a fork: OTEL_TRACES_EXPORTER (otlp, console), OTEL_EXPORTER_OTLP_….

    A provider that somebody set up already stays. What is asked for and not installed is said, and costs no heartbeat.
    """
    asked = [variable for variable in ASKED_FOR if os.environ.get(variable)]
    name = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if not asked or name == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(name)
    except ImportError as error:
        log.warning("%s asks for tracing, and %s; install with pip install 'wake-dispatcher[tracing]'", asked[0], error)
        return
    if isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider):
        resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: SERVICE})
        provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_links=MAX_LINKS))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        otel.set_tracer_provider(provider)


def _exporter(name: str) -> Any:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        log.warning("OTEL_TRACES_EXPORTER=%s is not known here; taking otlp", name)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def flush_tracing(timeout_ms: int = 2_000) -> None:
    """What was not exported yet, before this process ends."""
    if otel is not None and (flush := getattr(otel.get_tracer_provider(), "force_flush", None)):
        flush(timeout_ms)


@contextmanager
def heartbeat_span(request: HeartbeatRequest, batch: Batch) -> Iterator[tuple[HeartbeatRequest, Ended]]:
    """(the request as the runner gets it, what to tell the result). Inside a span the request carries the span's own context.

    Without a span it carries that of its newest completion, as it came.
    """
    if otel is None:
        yield request, _nobody_listens
        return
    tracer = otel.get_tracer(SERVICE)
    # A trace of its own: the completions come from many, and each of them is linked.
    with tracer.start_as_current_span(
        "heartbeat",
        context=otel.set_span_in_context(otel.INVALID_SPAN),
        kind=otel.SpanKind.CONSUMER,
        links=_links(batch),
        attributes=_attributes(request, batch),
    ) as span:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        own = trace_context(carrier)
        yield request.model_copy(update={"trace": own}) if own else request, lambda result: _tell(span, result)


def _nobody_listens(_: RunResult) -> None:
    """There is no span."""


def _links(batch: Batch) -> list[Link]:
    links = []
    for wake in batch.wakes:
        context = trace_context(wake.trace or {})
        if context:
            where = otel.get_current_span(TraceContextTextMapPropagator().extract(context)).get_span_context()
            links.append(otel.Link(where, {"wake.completion_id": wake.wake_id}))
    return links


def _attributes(request: HeartbeatRequest, batch: Batch) -> dict[str, str | int]:
    return {
        "wake.agent_id": request.agent_id,
        "wake.batch_id": request.batch_id,
        "wake.attempt": request.attempt,
        "wake.reason": request.reason,
        "wake.intent": request.intent.value,
        "wake.source": request.source.value,
        "messaging.batch.message_count": len(batch.wakes),
    }


def _tell(span: Span, result: RunResult) -> None:
    span.set_attribute("wake.outcome", result.kind)
    if isinstance(result, Failed):
        span.set_status(otel.Status(otel.StatusCode.ERROR, result.error))
