"""celery-batches: a worker gathers up to 2 000 messages or 250 ms of them: a heartbeat for each agent among them."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

from celery import Celery
from celery_batches import Batches

from bench.notes import heartbeat
from bench.peers import submitting

app = Celery("batches", broker=os.environ["BENCH_BROKER"], set_as_current=False)
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=0, broker_connection_retry_on_startup=True)


@app.task(name="batches.turn", base=Batches, flush_every=2_000, flush_interval=0.25)
def turn(requests: list[Any]) -> None:
    ids: dict[str, list[str]] = defaultdict(list)
    for request in requests:
        ids[request.args[0]].append(request.args[1])
    for agent, names in ids.items():
        heartbeat(agent, names)


if __name__ == "__main__":
    submitting.run(turn.delay)
