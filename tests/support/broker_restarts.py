"""Rounds of a server that restarts under loaded workers: what a pair of celery and kombu versions does then. Needs no test framework.

`python -m tests.support.broker_restarts ROUNDS SECONDS` measures the pair that is installed and prints its tally as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from celery import Celery
from kombu import pools

from dispatcher.names import HEARTBEAT
from dispatcher.store.connect import kombu_url
from tests.support.beats import assert_each_once, assert_one_at_a_time
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Worker, ids
from tests.support.server import Server

AGENTS = [f"a{n}" for n in range(8)]
EACH = 5  # completions for each agent and round
SETTLED_S = 60.0  # a pair of versions that loses completions waits for them in vain, in each round
BELLS = 400  # doorbells for nothing, so that messages are in flight when the server goes


@dataclass
class Tally:
    """What happened. `died` are worker processes that ended by themselves, `hit` the rounds in which one did."""

    celery: str
    kombu: str
    rounds: int = 0
    hit: int = 0
    died: int = 0
    accepted: int = 0
    lost: int = 0
    seconds: float = 0.0


def measure(folder: Path, rounds: int, seconds: float) -> Tally:
    """At most `rounds` rounds, and none but the first two begins after `seconds`.

    Worker processes that died are started again, as a supervisor would. Raises AssertionError when a completion was in two batches or an
    agent had two heartbeats at once.
    """
    tally = Tally(version("celery"), version("kombu"))
    began = time.monotonic()
    with Server() as server:
        gateway = Gateway(folder, server)
        try:
            gateway.configure(agents={agent_id: {} for agent_id in AGENTS}, pools={"agents": {"partitions": 4}})
            gateway.plan(seconds=1.0)
            sent: list[str] = []
            for turn in range(rounds):
                if turn > 1 and time.monotonic() - began > seconds:
                    break
                sent += one_round(gateway, turn, len(sent))
                died = bury(gateway)
                tally.rounds, tally.died, tally.hit = turn + 1, tally.died + died, tally.hit + bool(died)
            staff(gateway)
            tally.accepted = len(sent)
            tally.lost = len(sent) - settled(gateway, len(sent))
            assert_one_at_a_time(gateway.beats())
            if not tally.lost:
                assert_each_once(gateway.beats(), sent)
        finally:
            gateway.close()
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


def staff(gateway: Gateway) -> None:
    """One router and two workers, all ready."""
    roles = [" ".join(worker.process.args) for worker in gateway.workers if worker.alive]  # type: ignore[arg-type]  # a list of texts here
    if not any("--route" in role for role in roles):
        gateway.start_router()
    for _ in range(2 - sum("--pool" in role for role in roles)):
        gateway.start_worker()
    gateway.ready()


def one_round(gateway: Gateway, turn: int, before: int) -> list[str]:
    """Work and doorbells for everybody, the server goes in the middle of it and comes back, and everything has been settled or has died."""
    staff(gateway)
    sent: list[str] = []
    ran = len(gateway.beats())
    for agent_id in AGENTS:
        fresh = ids(f"{agent_id}.{turn}", EACH)
        gateway.submit(*fresh, session=f"agent:{agent_id}:main")
        sent += fresh
    wait_until(lambda: len(gateway.beats()) > ran or dead(gateway), PATIENCE_S, "heartbeats run")
    with program(gateway) as bells:
        for n in range(BELLS):
            bells.send_task(HEARTBEAT, args=(AGENTS[n % len(AGENTS)],), queue=f"wake.agents.{n % 4:02d}", ignore_result=True)
    gateway.server.restart(graceful=turn % 2 == 0)
    wait_until(lambda: dead(gateway) or answering(gateway) >= len(gateway.workers), PATIENCE_S, "each worker consumes again or has died")
    settled(gateway, before + len(sent))
    return sent


def program(gateway: Gateway) -> Celery:
    """Another Celery program. Programs of a process share connections, and those may have broken with the server."""
    pools.reset()
    return Celery("bells", broker=kombu_url(gateway.server.url), set_as_current=False)


def dead(gateway: Gateway) -> list[Worker]:
    return [worker for worker in gateway.workers if not worker.alive]


def bury(gateway: Gateway) -> int:
    """Forgets the workers that died; says how many, and prints what each said last."""
    died = dead(gateway)
    for worker in died:
        print(f"--- {worker.log.name} died", *worker.said().splitlines()[-5:], sep="\n", file=sys.stderr)
        gateway.workers.remove(worker)
    return len(died)


def answering(gateway: Gateway) -> int:
    """How many workers answer Celery's ping: their consumers are back."""
    with program(gateway) as asking:
        return len(asking.control.ping(timeout=5, limit=len(gateway.workers)))


def settled(gateway: Gateway, expected: int) -> int:
    """Waits until that many are settled, and says how many are, also when not all become so. A dead worker is no reason to wait for."""

    def at_rest() -> bool:
        return gateway.store.ledger.balance().settled >= expected or bool(dead(gateway))

    try:
        wait_until(at_rest, SETTLED_S, f"{expected} are settled")
    except AssertionError as error:
        print(error, file=sys.stderr)
    return gateway.store.ledger.balance().settled


def main(words: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="wk-") as folder:
        print(json.dumps(asdict(measure(Path(folder), int(words[0]), float(words[1])))))


if __name__ == "__main__":
    main(sys.argv[1:])
