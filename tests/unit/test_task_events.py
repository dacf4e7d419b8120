"""The dispatcher of task events: what a thread adds while another publishes is sent next, not thrown away; and none is repeated."""

from __future__ import annotations

import threading
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


def test_an_event_is_not_repeated_until_the_server_is_back() -> None:
    """Celery asks for that, for its worker's own events, in the worker's loop: it would not even end when it is told to."""
    with Server(tcp=True) as server, Celery("test", broker=kombu_url(server.url), set_as_current=False) as app:
        app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 5}
        with app.connection_for_write() as connection:
            events = LosslessDispatcher(connection, app=app)
            events.send("worker-online")
            server.kill()
            tried = threading.Thread(target=events.send, args=("worker-heartbeat",), kwargs={"retry": True}, daemon=True)
            tried.start()
            tried.join(60)
            assert not tried.is_alive()
            server.start()
