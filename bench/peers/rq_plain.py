"""RQ: one job for each completion, a pool of eight workers, each of which forks a process for every job."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue

from bench.notes import heartbeat
from bench.peers import submitting


def turn(agent: str, name: str) -> None:
    heartbeat(agent, [name])


if __name__ == "__main__":
    jobs = Queue(connection=Redis.from_url(os.environ["BENCH_URL"]))
    # By name: what is defined in this program has another one in the worker.
    submitting.run(lambda agent, name: jobs.enqueue("bench.peers.rq_plain.turn", agent, name, result_ttl=0))
