"""The rig of real worker processes on the server of a pytest-celery setup, and what the scenarios ask of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import pools
from pytest_celery import CeleryTestWorker

from dispatcher.config import Config
from tests.support.containers import LocalContainer
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, Table, Worker
from tests.support.requests import pid_in

ROUTER, AGENTS = "--route", "--pool agents"


class Fleet(Gateway):
    """A gateway whose processes belong to the setup's containers."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        super().__init__(folder, None)

    def configure(self, **tables: Table) -> Config:
        return super().configure(**tables | {"redis": {"url": self.url} | tables.get("redis", {})})

    def in_mid_heartbeat(self) -> int:
        """Submits c1 and c2; their heartbeat goes on until the gate opens, with a child of its own. Then `later` comes. The child's pid."""
        self.plan(gate="goes-on", child="child")
        self.submit("c1", "c2")
        self.started(1)
        child = pid_in(self.folder / "child")
        self.submit("later")
        return child

    def await_deposits(self, agents: Iterable[str], more_than: int) -> None:
        wait_until(lambda: self.deposits(agents) > more_than, PATIENCE_S, "the first deposits", every_s=0.001)

    def deposits(self, agents: Iterable[str]) -> int:
        """Completions that have a fate with their agent."""
        pipe = self.store.client.pipeline(transaction=False)
        for agent_id in agents:
            pipe.hlen(self.store.keys.agent("agents", agent_id)["fates"])
        return sum(pipe.execute())


def process_of(node: CeleryTestWorker) -> Worker:
    """The process behind a node."""
    container: LocalContainer = node.container._container
    return container.process


def exit_code(node: CeleryTestWorker) -> int:
    """Once it has ended."""
    code = process_of(node).ends(PATIENCE_S)
    node.container.reload()
    assert node.container.status == "exited"
    return code


def consumed(app: Celery, nodes: int) -> dict[str, list[str]]:
    """What `inspect active_queues` says, by name of worker; asked until that many answer."""

    def ask() -> dict[str, Any]:
        pools.reset()  # every Celery program of a process shares them, and what they hold may have broken with the server
        with Celery("asking", broker=app.conf.broker_url, set_as_current=False) as asking:
            found = asking.control.inspect(timeout=15, limit=nodes).active_queues() or {}
        return found if len(found) == nodes else {}

    answers = wait_until(ask, PATIENCE_S, f"{nodes} workers answer")
    return {worker: sorted(queue["name"] for queue in queues) for worker, queues in answers.items()}
