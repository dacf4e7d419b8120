"""What is started inside a heartbeat knows so: by the environment of a command, or by the context of a call in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from dispatcher.core.lineage import VARIABLE, caused_by, to_variable
from dispatcher.core.models import HeartbeatRequest

_running: ContextVar[str | None] = ContextVar("wake_lineage", default=None)


@contextmanager
def heartbeat_of(request: HeartbeatRequest) -> Iterator[None]:
    """Inside, completions that this thread reports are caused by this heartbeat. Threads that it starts do not inherit that."""
    token = _running.set(to_variable(request.agent_id, request.lineage))
    try:
        yield
    finally:
        _running.reset(token)


def inherited_lineage() -> dict[str, object] | None:
    """The lineage of what is reported here and now; None outside of a heartbeat."""
    running = _running.get()
    return caused_by(os.environ.get(VARIABLE, "") if running is None else running)
