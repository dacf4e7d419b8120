"""The Celery application of the agent workers. What a process serves is set by `launch` before the application is first used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kombu.entity import Queue

from dispatcher.app import base_settings, current_config, make_app
from dispatcher.embedded import expected_url
from dispatcher.names import pool_queues


@dataclass
class Serving:
    """The pool whose queues this process consumes, and whether Celery forks children that run the heartbeats."""

    pool: str = "agents"
    prefork: bool = False


serving = Serving()


def worker_settings() -> dict[str, Any]:
    """Settings of a worker of one pool: its queues and no other."""
    config = current_config()
    names = pool_queues(config.redis.prefix, serving.pool, config.pool(serving.pool).partitions)
    settings = base_settings(config, expected_url(config), serving.pool)
    # A doorbell that dies with its worker is rung again by a sweep; to keep it until it is acknowledged costs two round trips.
    options = settings["broker_transport_options"] | {"ack_emulation": False}
    return settings | {
        "broker_transport_options": options,
        "task_queues": [Queue(name, routing_key=name) for name in names],
        "task_default_queue": names[0],
    }


app = make_app("workers", worker_settings)
