"""The dispatcher of task events: what a thread of the pool adds while another publishes is sent next, not thrown away."""

from __future__ import annotations

from typing import Any

from celery import Celery

from dispatcher.store.connect import kombu_url
from tests.support.server import Server
from workers.task_events import LosslessDispatcher


class Published(LosslessDispatcher):
    """Keeps what it would publish; while it publishes for the first time, a task starts elsewhere."""

    def __init__(self, app: Celery) -> None:
        super().__init__(app=app, enabled=False, buffer_group=frozenset({"task"}))
        self.enabled = True
        self.sent: list[str] = []

    def _publish(self, event: list[dict[str, Any]], producer: object, routing_key: str, **_: object) -> None:  # noqa: ARG002  # Celery's signature
        first = not self.sent
        self.sent += [f"{routing_key} {one['type']}" for one in event]
        if first:
            self.send("task-started")


def test_an_event_added_while_others_are_published_is_sent_next(server: Server) -> None:
    with Celery("test", broker=kombu_url(server.url), set_as_current=False) as app:
        events = Published(app)
        events.send("task-received")
        events.flush()
        assert events.sent == ["task.multi task-received"]
        events.flush()
        assert events.sent == ["task.multi task-received", "task.multi task-started"]
        events.flush()
        assert len(events.sent) == 2
