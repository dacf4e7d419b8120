"""What is started inside a heartbeat knows so: by the environment of a command, or by the context of a call in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dispatcher.core.lineage import VARIABLE, caused_by, to_variable
from dispatcher.core.models import HeartbeatRequest
from dispatcher.core.trace_context import TRACE_VARIABLES, Context, from_variables, trace_context

_running: ContextVar[str | None] = ContextVar("wake_lineage", default=None)
_trace: ContextVar[Context | None] = ContextVar("wake_trace", default=None)


@contextmanager
def heartbeat_of(request: HeartbeatRequest) -> Iterator[None]:
    """Inside, completions that this thread reports are caused by this heartbeat. Threads that it starts do not inherit that."""
    token = _running.set(to_variable(request.agent_id, request.lineage))
    trace_token = _trace.set(trace_context(request.trace or {}))
    try:
        yield
    finally:
        _trace.reset(trace_token)
        _running.reset(token)


def surroundings() -> dict[str, str]:
    """What the environment says of where reports come from: to be read once for many of them, for that takes longer than all the rest."""
    return {name: value for name in (VARIABLE, *TRACE_VARIABLES) if (value := os.environ.get(name))}


def inherited_lineage(env: Mapping[str, str] = os.environ) -> dict[str, object] | None:
    """The lineage of what is reported here and now; None outside of a heartbeat."""
    running = _running.get()
    return caused_by(env.get(VARIABLE, "") if running is None else running)


def inherited_trace(env: Mapping[str, str] = os.environ) -> Context | None:
    """The trace context of what is reported here and now: of the current span, of the heartbeat, of the environment; None without any.

    OpenTelemetry is asked only where this process has loaded it already.
    """
    return _of_current_span() or (from_variables(env) if _running.get() is None else _trace.get())


def _of_current_span() -> Context | None:
    loaded: Any = sys.modules.get("opentelemetry.trace")
    # An import statement here would take longer than all the rest; a module that another thread is just loading has no functions yet.
    current = getattr(loaded, "get_current_span", None)
    if current is None or not current().get_span_context().is_valid:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: Context = {}
    TraceContextTextMapPropagator().inject(carrier)
    return trace_context(carrier)


def inherited(env: Mapping[str, str] = os.environ) -> dict[str, object]:
    """The fields of a completion or a wake that say where it comes from; only those that are known here."""
    known = {"lineage": inherited_lineage(env), "trace": inherited_trace(env)}
    return {name: value for name, value in known.items() if value}
