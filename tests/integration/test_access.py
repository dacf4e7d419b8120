"""`wake acl` on a real server: what each role may do and what it is refused, as docs/access.md says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from dispatcher.access import Roles, User, commands_of
from dispatcher.broker import NOT_OURS
from dispatcher.cli.app import run as wake
from dispatcher.config import Config, load
from dispatcher.store.keys import Keys
from tests.support.server import Server
from tests.support.sources import ROOT

PAGE = ROOT / "docs" / "access.md"
KEYS = Keys("wake", 64)
OPS, LAB = KEYS.agent("agents", "ops"), KEYS.agent("lab", "lab-1")
TOML = """
[agents.ops]
[agents.lab-1]
[pools.lab]
agents = ["lab-1"]
"""
Act = Callable[[Any], object]  # the client; execute_command is untyped


def run(*words: object) -> Act:
    return lambda client: client.execute_command(*words)


def step(*words: object, keys: list[str]) -> Act:
    """A step as a hostile program would write it itself: its commands count, not its text."""
    call = f"return redis.call({', '.join(repr(word) for word in words)})"
    return lambda client: client.evalsha(client.script_load(call), len(keys), *keys)


ACTIONS: dict[str, Act] = {
    "hand in a completion": run("XADD", KEYS.inbox["stream"], "*", "id", "x"),
    "tell routers to look": run("LPUSH", "wake.inbox", "x"),
    "read completions in the inbox": run("XRANGE", KEYS.inbox["stream"], "-", "+"),
    "ask what became of a completion": run("HGET", OPS["fates"], "x"),
    "read a mailbox of pool `agents`": run("HGETALL", OPS["wakes"]),
    "write a mailbox of pool `agents`": run("HSET", OPS["wakes"], "1", "x"),
    "the same from a script": step("HSET", OPS["wakes"], "1", "x", keys=[OPS["wakes"]]),
    "read a mailbox of pool `lab`": run("HGETALL", LAB["wakes"]),
    "write a mailbox of pool `lab`": run("HSET", LAB["wakes"], "1", "x"),
    "take a lease in pool `agents`": run("HSET", OPS["leases"], "ops", "x"),
    "take a lease in pool `lab`": run("HSET", LAB["leases"], "lab-1", "x"),
    "ring an agent of pool `agents`": run("LPUSH", "wake.agents.00", "x"),
    "ring an agent of pool `lab`": run("LPUSH", "wake.lab.00", "x"),
    "take doorbells of pool `agents`": run("BRPOP", "wake.agents.01", "0.01"),
    "take doorbells of pool `lab`": run("BRPOP", "wake.lab.01", "0.01"),
    "touch unacknowledged messages of pool `agents`": run("HDEL", "wake.agents.unacked", "x"),
    "touch unacknowledged messages of pool `lab`": run("HDEL", "wake.lab.unacked", "x"),
    "touch unacknowledged messages of the routers": run("HDEL", "wake.inbox.unacked", "x"),
    "say where an agent lives": run("HSET", OPS["homes"], "lab-1", "agents agents"),
    "look present as a worker of pool `agents`": run("SUBSCRIBE", "wake:presence:worker.agents.h.1.x"),
    "look present as a worker of pool `lab`": run("SUBSCRIBE", "wake:presence:worker.lab.h.1.x"),
    "tell a worker that something was cancelled": run("PUBLISH", "wake:presence:worker.agents.h.1.x", "renew"),
    "bind a session key": run("HSET", KEYS.inbox["bindings"], "node", "ops"),
    "pause an agent": run("HSET", OPS["holds"], "ops", "x"),
    "see what waits": run("ZCARD", OPS["due"]),
    "read dead letters": run("HGETALL", OPS["dead"]),
    "drop a dead letter": run("HDEL", KEYS.inbox["dead"], "x"),
    "ask for a reload": run("INCRBY", KEYS.inbox["reload"], "1"),
    "stop workers over Celery's remote control": run("PUBLISH", "/0.celery.pidbox", "x"),
    "hear the events of workers": run("PSUBSCRIBE", "/0.celeryev/*"),
    "write the tables of another program": run("SET", "other", "x"),
    "empty the server, read its settings, make users": run("FLUSHALL"),
}


@dataclass
class Guarded:
    """A server with the users of a configuration."""

    server: Server
    users: list[User]

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.server.url.replace("unix://", f"unix://{user}:pw@"), decode_responses=True, protocol=2)

    def may(self, user: str, acts: Iterable[Act]) -> list[bool]:
        client = self.client(user)
        found: list[bool] = []
        for act in acts:
            try:
                act(client)
                found.append(True)
            except NoPermissionError:
                found.append(False)
            except redis.ResponseError as error:
                found.append("ACL failure" not in str(error))  # so says a script; what it found otherwise is not the question here
            client.connection_pool.disconnect()  # it may listen now
        client.close()
        return found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    path = tmp_path_factory.mktemp("acl") / "wake.toml"
    path.write_text(TOML)
    config: Config = load(path, {})
    with Server(appendfsync="everysec") as server:
        admin: Any = server.client()
        users = Roles(config).all(config.pool_names())
        for user in users:
            admin.execute_command("ACL", "SETUSER", user.name, "reset", "on", ">pw", *re.findall(r"\([^)]*\)|\S+", user.rules()))
        admin.close()
        yield Guarded(server, users)


def matrix(guarded: Guarded) -> str:
    names = [user.name for user in guarded.users]
    answers = [guarded.may(name, ACTIONS.values()) for name in names]
    rows = [f"| | {' | '.join(name.removeprefix('wake-') for name in names)} |", f"|---|{'---|' * len(names)}"]
    rows += [
        f"| {action} | {' | '.join('yes' if may else '-' for may in found)} |"
        for action, found in zip(ACTIONS, zip(*answers, strict=True), strict=True)
    ]
    return "\n".join(rows)


def test_the_page_shows_what_each_role_may_do_and_is_refused(guarded: Guarded) -> None:
    found = matrix(guarded)
    print(found)
    assert found in PAGE.read_text("utf-8"), "docs/access.md shows another table; the one above is measured"


def test_the_words_of_the_promise(guarded: Guarded) -> None:
    """What must hold whatever the table says."""

    def refused(role: str, *actions: str) -> None:
        answers = guarded.may(f"wake-{role}", (ACTIONS[name] for name in actions))
        assert [name for name, may in zip(actions, answers, strict=True) if may] == []

    of_pools = [name for name in ACTIONS if "pool `" in name or name == "the same from a script"]
    refused("producer", *of_pools, "read completions in the inbox", "bind a session key", "say where an agent lives")
    refused("worker-lab", *(name for name in of_pools if "`lab`" not in name), "say where an agent lives", "bind a session key")
    refused("worker-agents", *(name for name in of_pools if "`lab`" in name), "touch unacknowledged messages of the routers")
    for role in ("monitor", "flower"):
        reading = ("read", "see", "hear", "ask what")
        refused(role, *(name for name in ACTIONS if not name.startswith(reading)))
    everyone = [user.name.removeprefix("wake-") for user in guarded.users]
    for role in everyone:
        refused(role, "empty the server, read its settings, make users", "write the tables of another program")
        refused(role, "stop workers over Celery's remote control")


def test_what_a_step_calls_is_read_from_its_text() -> None:
    assert {"xadd", "xlen", "hget", "hset", "set"} <= set(commands_of("submit"))
    assert "xrange" not in commands_of("submit")
    assert "time" not in commands_of("submit"), "it names no key"
    assert {"zadd", "hset"} <= set(commands_of("deposit")), "of what it includes too"
    assert NOT_OURS.isdisjoint({"id", "task", "argsrepr"})


def test_acl_prints_users_that_a_server_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wake.toml").write_text(TOML)
    monkeypatch.setenv("WAKE_CONFIG", str(tmp_path / "wake.toml"))

    def said(*words: str) -> str:
        assert wake(["acl", *words]) == 0
        return capsys.readouterr().out

    printed = said("--passwords", str(tmp_path / "secrets"))
    assert printed == said("--passwords", str(tmp_path / "secrets")), "a password that is there stays"
    assert printed.startswith("user default off resetpass ")
    assert said("worker", "--pool", "lab").startswith("user wake-worker-lab on resetpass resetkeys ")
    assert ">${WAKE_WORKER_LAB_PASSWORD} " in said("worker", "--variables")
    assert said("--setuser", "monitor").startswith("ACL SETUSER wake-monitor on resetpass ")
    assert wake(["acl", "worker", "--pool", "nowhere"]) == 2
    secrets = {path.name: path.read_text().strip() for path in (tmp_path / "secrets").iterdir()}
    assert set(secrets) == {line.split()[1] for line in printed.splitlines()} - {"default"}
    assert not any(secret in printed for secret in secrets.values())
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}
    with Server() as server:
        admin: Any = server.client()
        for line in printed.splitlines():
            if "user default" not in line:
                admin.execute_command("ACL", "SETUSER", *re.findall(r"\([^)]*\)|\S+", line)[1:])
        assert sorted(admin.acl_users()) == sorted(["default", *secrets])
        as_monitor = redis.Redis.from_url(server.url.replace("unix://", f"unix://wake-monitor:{secrets['wake-monitor']}@"), protocol=2)
        assert as_monitor.ping()
        as_monitor.close()
        admin.close()
