"""Dramatiq: one message for each completion, one process of eight threads."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.notes import heartbeat
from bench.peers import submitting

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_URL"]))


@dramatiq.actor(max_retries=0)
def turn(agent: str, name: str) -> None:
    heartbeat(agent, [name])


if __name__ == "__main__":
    submitting.run(turn.send)
