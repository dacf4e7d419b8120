"""Plain Celery: one task for each completion, eight threads, messages acknowledged late so that a killed worker loses none it has noted."""

from __future__ import annotations

import os

from celery import Celery

from bench.notes import heartbeat
from bench.peers import submitting

app = Celery("plain", broker=os.environ["BENCH_BROKER"], set_as_current=False)
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task(name="plain.turn")
def turn(agent: str, name: str) -> None:
    heartbeat(agent, [name])


@app.task(name="plain.nothing")
def nothing() -> None:
    """What a task costs its worker before it does anything."""


if __name__ == "__main__":
    submitting.run(turn.delay)
