"""docker-compose.yml as operators use it: up, healthy, work done, scaled, stopped, and everything there next time."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import redis

from dispatcher.config import load
from dispatcher.store.books import Balance
from dispatcher.store.opened import Store, open_store
from tests.support.composed import LOGIN, PASSWORDS, PATIENCE_S, Composed, Container
from tests.support.gates import wait_until
from tests.support.producer import Producer
from tests.support.sources import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WAKE_TOML = ROOT / "examples" / "compose" / "wake.toml"


class Deployed(Composed):
    """The whole file, and who uses it: a producer on the same machine, an operator with a browser."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.producer = Producer({"WAKE_CONFIG": str(WAKE_TOML), "WAKE_REDIS_URL": self.url("producer")})
        self.store: Store = open_store(load(WAKE_TOML, {}), self.url("monitor"))

    def report(self, agent_id: str, *completion_ids: str) -> None:
        words = [{"session_key": f"agent:{agent_id}:main", "completion_id": name, "exit_code": 1} for name in completion_ids]
        answers = self.producer.delay_all(words)
        assert [answer.get("completion_id") for answer in answers] == list(completion_ids), answers

    def settled(self, count: int) -> Balance:
        """Waits until that many completions are settled and nothing else is anywhere."""
        seen: list[Balance] = []

        def at_rest() -> bool:
            seen[:] = [self.store.ledger.balance()]
            return (seen[0].accepted, seen[0].settled, seen[0].balance) == (count, count, 0)

        wait_until(at_rest, PATIENCE_S, f"{count} completions are settled")
        return seen[0]

    def present(self, start: str) -> int:
        return sum(holder.startswith(start) for holder in self.store.ledger.presences())

    def flower(self, path: str, login: str | None = LOGIN) -> tuple[int, str]:
        request = Request(f"http://127.0.0.1:{self.flower_port}{path}")
        if login:
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        try:
            with urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, ""

    def close(self) -> None:
        self.producer.close()
        self.store.close()
        super().close()


@pytest.fixture
def deployed() -> Iterator[Deployed]:
    folder = Path(tempfile.mkdtemp(prefix="wk-"))
    deployed = Deployed(folder)
    try:
        yield deployed
    finally:
        deployed.close()
        rmtree(folder, ignore_errors=True)


def test_the_composed_services_do_the_work(deployed: Deployed) -> None:
    early = deployed.start("agents")
    assert not deployed.healthy(early), "healthy without a server"
    (valkey,) = deployed.up("valkey")
    assert_the_server_wants_the_password(deployed)
    wait_until(lambda: deployed.healthy(early), PATIENCE_S, "a worker that was there before its server is healthy", every_s=0.2)
    routers, (ops,), (flower,) = deployed.up("router"), deployed.up("ops"), deployed.up("flower")
    # Replicas share a host here, so the probe of the second is content with the first; in containers each sees itself only.
    wait_until(lambda: deployed.present("router.") == len(routers) == 2, PATIENCE_S, "both routers are present")
    assert deployed.present("worker.ops.") == 1

    deployed.report("main", *(f"m{n}" for n in range(20)))
    deployed.report("ops", *(f"o{n}" for n in range(20)))
    deployed.settled(40)

    (second,) = deployed.up("agents")
    wait_until(lambda: deployed.present("worker.agents.") == 2, PATIENCE_S, "both workers of the pool are present")
    assert early.stop() == 0
    deployed.report("build", "after-one-left")
    deployed.settled(41)

    assert_flower_shows_the_system_to_who_may_see_it(deployed)
    ours = [second, ops, *routers]
    assert [container.stop() for container in ours] == [0] * len(ours)
    wait_until(lambda: not deployed.present(""), PATIENCE_S, "the server has seen them leave")
    assert flower.stop() == 0
    assert_every_line_is_an_object_and_names_its_heartbeat([early, *ours])

    assert valkey.stop() == 0
    deployed.up("valkey")
    assert deployed.settled(42).settled == 42  # AOF
    assert not [
        container.log.name
        for container in deployed.containers
        if any(secret in container.said() for secret in (*PASSWORDS.values(), LOGIN))
    ]


def assert_the_server_wants_the_password(deployed: Deployed) -> None:
    with (
        redis.Redis("127.0.0.1", deployed.port, protocol=2) as stranger,
        pytest.raises(redis.AuthenticationError, match="Authentication required"),
    ):
        stranger.ping()
    assert deployed.store.client.info("persistence")["aof_enabled"] == 1
    arguments = Path(f"/proc/{deployed.containers[1].process.pid}/cmdline").read_bytes()
    assert b"valkey-server" in arguments
    assert not any(password.encode() in arguments for password in PASSWORDS.values())


def assert_flower_shows_the_system_to_who_may_see_it(deployed: Deployed) -> None:
    assert deployed.flower("/api/tasks", login=None)[0] == 401
    assert deployed.flower("/api/tasks", login="operator:wrong")[0] == 401

    def unseen() -> set[str]:
        status, text = deployed.flower("/api/tasks")
        assert status == 200
        return {"workers.heartbeat", "dispatcher.route"} - {task["name"] for task in json.loads(text).values()}

    deployed.report("ops", "while-flower-listens")
    deployed.settled(42)
    wait_until(lambda: not unseen(), PATIENCE_S, "Flower knows routes and heartbeats", every_s=0.2)


def assert_every_line_is_an_object_and_names_its_heartbeat(containers: list[Container]) -> None:
    heartbeats = []
    for container in containers:
        for line in container.said().splitlines():
            said = json.loads(line)
            assert {"at", "level", "logger", "message", "pid"} <= set(said), line
            heartbeats += [said] if said["message"].startswith("heartbeat ") else []
    assert {said["agent"] for said in heartbeats} == {"main", "build", "ops"}
    for said in heartbeats:
        assert said["batch"] == f"{said['agent']}-{said['token']}" or said["attempt"] > 1
        assert len(said["completions"]) == min(said["n"], 5)
