"""Every process under its own user of the server, over TLS, with planted secrets: all of it works, nothing more is asked of the server
than its user may do, and no secret is found anywhere afterwards."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
import trustme

from dispatcher.tokens import new_key
from tests.support.exec_process import WAKE
from tests.support.gates import wait_until
from tests.support.server import Server
from tests.support.tls_front import TlsFront

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE_S = 120.0
PLANTED = {"RUNNER_KEY": "plantedRunnerKey", "FLOWER_BASIC_AUTH": "wake:plantedFlowerPassword"}
TOML = """
[redis]
ca_file = "ca.pem"
[defaults]
min_spacing_ms = 0
notify = "always"
runner = { type = "command", command = ["sh", "-c", "cat; env >> inherited; env | grep planted; exit $(test -e fail && echo 1 || echo 0)"] }
[agents.ops]
every = "1h"
[agents.lab-1]
[agents.elsewhere]
runner = { type = "http", url = "http://127.0.0.1:9/", secret_env = "RUNNER_KEY" }
[pools.lab]
agents = ["lab-1"]
[routing]
require_token = true
[logging]
level = "DEBUG"
"""


class Site:
    """A guarded server, and processes that know one password each."""

    def __init__(self, folder: Path, front: TlsFront, server: Server) -> None:
        self.folder, self.front, self.admin = folder, front, server.client()
        self.key = new_key()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.said: list[str] = []
        (folder / "wake.toml").write_text(TOML)
        users = json.loads(self.run(None, "acl", "--passwords", "secrets", "--json").stdout)["users"]
        self.secrets = {path.name: path.read_text().strip() for path in (folder / "secrets").iterdir()}
        admin: Any = self.admin
        for user in users:
            admin.execute_command("ACL", "SETUSER", user["name"], *re.findall(r"\([^)]*\)|\S+", user["rules"]))
        admin.execute_command("ACL", "SETUSER", "default", "-@all", "+@all")

    def environment(self, role: str | None) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("WAKE_", "CELERY_", "FLOWER_"))}
        env |= {"WAKE_CONFIG": str(self.folder / "wake.toml"), "WAKE_DATA_DIR": str(self.folder / f"data-{role}")} | PLANTED
        if role is None:
            return env | {"WAKE_REDIS_URL": "rediss://127.0.0.1:1/0"}
        env["WAKE_REDIS_URL"] = self.front.url.replace("://", f"://wake-{role}@")
        if role in ("router", "ingress", "operator"):
            env["WAKE_TOKEN_KEYS"] = self.key
        if role in ("router", "monitor"):
            return env | {"WAKE_REDIS_PASSWORD": self.secrets[f"wake-{role}"]}
        return env | {"WAKE_REDIS_PASSWORD_FILE": f"secrets/wake-{role}"}

    def start(self, role: str, *words: str) -> None:
        with (self.folder / f"{role}.log").open("ab") as out:
            self.processes[role] = subprocess.Popen(
                [*WAKE, *words], cwd=self.folder, env=self.environment(role), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def run(self, role: str | None, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*WAKE, *words], cwd=self.folder, env=self.environment(role) | env, capture_output=True, text=True, timeout=200, check=False
        )
        self.said += [done.stdout if words[0] != "token" else "", done.stderr]
        return done

    def ok(self, role: str, *words: str, **env: str) -> str:
        done = self.run(role, *words, **env)
        assert done.returncode == 0, (role, words, done.stdout, done.stderr)
        return done.stdout

    def log(self, role: str) -> str:
        return (self.folder / f"{role}.log").read_text("utf-8", "replace")

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def refusals(self) -> list[tuple[str, str]]:
        """Who was refused what, as the server remembers it."""
        found: Any = self.admin.acl_log(1_000)
        return [(entry["username"], entry["object"]) for entry in found]

    def stored(self) -> str:
        """Everything in the store, as it lies there."""
        self.admin.config_set("rdbcompression", "no")
        return "\n".join(f"{key} {self.admin.dump(key)!r}" for key in self.admin.scan_iter(count=1_000))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Server() as server, TlsFront(server, authority) as front:
        site = Site(tmp_path, front, server)
        try:
            yield site
        finally:
            site.stop()
            print(*(f"--- {role}\n{site.log(role)[-2000:]}" for role in site.processes), sep="\n")
            site.admin.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def fetched(request: Request) -> tuple[int, str]:
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (URLError, ConnectionError):
        return 0, ""


def test_each_process_has_its_own_user_and_no_secret_leaks(site: Site) -> None:
    web, flower = free_port(), free_port()
    site.start("router", "worker", "--route")
    site.start("worker-agents", "worker", "--pool", "agents")
    site.start("worker-lab", "worker", "--pool", "lab")
    site.start("ingress", "web", "--port", str(web))
    site.start("flower", "flower", "--port", str(flower))
    token = site.ok("operator", "token", "mint", "--agent", "ops", "--agent", "lab-1", "--wakes").strip()
    wait_until(lambda: len(site.run("monitor", "status").stdout.split("worker")) > 1, PATIENCE_S, "the server answers")

    site.ok("producer", "submit", "--session-key", "agent:ops:main", "--exit-code", "1", "--id", "c1", WAKE_INGRESS_TOKEN=token)
    site.ok("producer", "wake", "lab-1", "--text", "hello", "--id", "w1", WAKE_INGRESS_TOKEN=token)
    forged = token[:-8] + "AAAAAAAA"
    site.ok("producer", "submit", "--session-key", "agent:ops:main", "--exit-code", "1", "--id", "c2", WAKE_INGRESS_TOKEN=forged)
    body = json.dumps({"session_key": "agent:lab-1:main", "exit_code": 2, "completion_id": "h1"}).encode()
    url, login = f"http://127.0.0.1:{web}", {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    wait_until(lambda: fetched(Request(f"{url}/healthz"))[0] == 200, PATIENCE_S, "the ingress listens")
    assert fetched(Request(f"{url}/v1/completions", body, login))[0] in (200, 202)
    for completion_id in ("c1", "w1", "h1"):
        wait_until(
            lambda: "settled" in fetched(Request(f"{url}/v1/completions/{completion_id}", headers=login))[1],  # noqa: B023  asked in this turn only
            PATIENCE_S,
            f"{completion_id} is settled",
            every_s=0.2,
        )
    wait_until(lambda: "c2" in site.ok("monitor", "dead", "list"), PATIENCE_S, "the forged token is refused", every_s=0.2)
    (site.folder / "fail").touch()
    site.ok("producer", "submit", "--session-key", "agent:lab-1:main", "--exit-code", "3", "--id", "f1", WAKE_INGRESS_TOKEN=token)
    wait_until(lambda: "failed" in site.ok("monitor", "trace", "f1"), PATIENCE_S, "a heartbeat fails and says why", every_s=0.2)

    assert_operators_and_monitors_can_work(site)
    basic = base64.b64encode(PLANTED["FLOWER_BASIC_AUTH"].encode()).decode()
    shown = wait_until(lambda: seen_by_flower(flower, basic), PATIENCE_S, "Flower has heard of heartbeats", every_s=0.2)
    commands = [Path(f"/proc/{process.pid}/cmdline").read_text("utf-8", "replace") for process in site.processes.values()]
    broken = [site.run("monitor", "status", WAKE_REDIS_PASSWORD=f"{site.secrets['wake-monitor']}x").stderr]
    broken.append(site.run("monitor", "status", WAKE_REDIS_URL=site.front.url.replace(str(site.front.port), "1")).stderr)
    assert "refused the login" in broken[0], broken
    found = site.refusals()
    site.stop()

    allowed_refusals = {
        ("wake-flower", "publish"),  # it would like to ask workers; who may ask may stop them
        ("wake-flower", "/0.celery.pidbox"),
        ("wake-monitor", "AUTH"),  # the wrong password above
    }
    assert set(found) <= allowed_refusals, "somebody asked for more than its user may do"
    secrets = {*site.secrets.values(), site.key, token, forged, *PLANTED.values(), "plantedFlowerPassword"}
    places = {role: site.log(role) for role in site.processes}
    places |= {"commands": "\n".join(site.said), "ps": "\n".join(commands), "flower's pages": shown or "", "store": site.stored()}
    places["heartbeats' environment"] = (site.folder / "inherited").read_text()
    assert "c1" in places["store"], "this does look where things lie"
    assert "WAKE_AGENT_ID=" in places["heartbeats' environment"]
    assert [(place, secret) for place, text in places.items() for secret in secrets if secret in text] == []


def seen_by_flower(port: int, basic: str) -> str:
    status, text = fetched(Request(f"http://127.0.0.1:{port}/api/tasks", headers={"Authorization": f"Basic {basic}"}))
    return text if status == 200 and "workers.heartbeat" in text else ""


def assert_operators_and_monitors_can_work(site: Site) -> None:
    for words in (["status"], ["explain", "ops"], ["trace", "c1"], ["dead", "show", "c2"], ["bindings"], ["holds"], ["audit"], ["health"]):
        site.ok("monitor", *words)
    site.ok("operator", "bind", "node", "ops")
    site.ok("operator", "unbind", "node")
    site.ok("operator", "pause", "ops", "--reason", "r")
    site.ok("operator", "resume", "ops")
    site.ok("operator", "dead", "revive", "c2")
    site.ok("operator", "reload")
    site.ok("operator", "doctor")
    refused = site.run("monitor", "bind", "node", "ops")
    assert refused.returncode == 75
    assert "ACL" in refused.stderr
    site.admin.execute_command("ACL", "LOG", "RESET")  # type: ignore[no-untyped-call]  # that one refusal was meant
