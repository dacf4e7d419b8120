"""Dockerfile and docker-compose.yml without an engine: the schema of the format, and what each service must and must not have."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from dispatcher.cli.app import run as wake
from dispatcher.config import load
from tests.support.compose import COMPOSE_FILE, OWN_IMAGE, Unset, final_stage, instructions, interpolated, seconds, service, written
from tests.support.composed import PASSWORDS
from tests.support.sources import ROOT

VARIABLES = PASSWORDS | {"WAKE_FLOWER_LOGIN": "me:aLogin"}
SERVICES: dict[str, dict[str, Any]] = written()["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_file_is_valid_by_the_schema_of_its_format() -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_a_server_routers_two_pools_and_flower() -> None:
    assert set(SERVICES) == {"valkey", "router", "agents", "ops", "flower"}
    config = load(ROOT / "examples" / "compose" / "wake.toml", {})
    served = {words[words.index("--pool") + 1] for name in SERVICES if "--pool" in (words := service(name, VARIABLES).command)}
    assert served == set(config.pool_names())
    assert config.pool("ops").agents == ("ops",)
    assert not SERVICES["agents"].get("container_name"), "a service with a name of its own cannot be scaled"


@each_service
def test_a_service_restarts_is_probed_and_has_time_to_stop(name: str) -> None:
    said = SERVICES[name]
    grace_s = load(ROOT / "examples" / "compose" / "wake.toml", {}).lease.grace_ms / 1000
    assert said["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(said["healthcheck"])
    assert seconds(said["stop_grace_period"]) >= grace_s + 10
    assert name == "valkey" or said["depends_on"]["valkey"]["condition"] == "service_healthy"


@each_service
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    said = SERVICES[name]
    assert (said["read_only"], said["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in said["security_opt"]
    assert not {"privileged", "network_mode", "pid", "cap_add"} & set(said)
    assert said.get("image") == OWN_IMAGE or said["user"] not in ("0", "root"), "the image's own user is checked below"


@each_service
def test_nothing_is_published_beyond_loopback(name: str) -> None:
    for port in interpolated(SERVICES[name].get("ports", []), VARIABLES):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_password_has_no_default(variable: str) -> None:
    with pytest.raises(Unset, match=variable):
        interpolated(written(), {name: value for name, value in VARIABLES.items() if name != variable})


def test_no_password_is_an_argument() -> None:
    words = [word for name in SERVICES for word in (*service(name, VARIABLES).command, *service(name, VARIABLES).probe)]
    assert not [word for word in words if any(password in word for password in PASSWORDS.values()) or "aLogin" in word]
    example = (ROOT / ".env.example").read_text("utf-8")
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in VARIABLES), "the example must not bring values"
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_each_service_is_a_user_of_its_own_with_the_rights_that_acl_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WAKE_REDIS_URL", raising=False)
    monkeypatch.setenv("WAKE_CONFIG", "")  # the command sets it; this puts it back afterwards
    assert wake(["acl", "--config", str(ROOT / "examples" / "compose" / "wake.toml"), "--variables"]) == 0
    printed = capsys.readouterr().out
    assert (ROOT / "examples" / "compose" / "users.acl").read_text("utf-8") == printed, "print it again: wake acl --variables"
    assert set(re.findall(r">\$\{(\w+)\}", printed)) == set(PASSWORDS) == set(service("valkey", VARIABLES).environment)
    for name in set(SERVICES) - {"valkey"}:
        env = service(name, VARIABLES).environment
        user = env["WAKE_REDIS_URL"].removeprefix("redis://").partition("@")[0]
        assert f"user {user} on " in printed
        assert env["WAKE_REDIS_PASSWORD"] == PASSWORDS[f"{user.upper().replace('-', '_')}_PASSWORD"]
        assert [word for word in env.values() if word in PASSWORDS.values()] == [env["WAKE_REDIS_PASSWORD"]], "its own and no other"


def test_the_image_runs_as_nobody_special_and_is_probed() -> None:
    stage = final_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"][-1])
    order = [word for word, _ in instructions()]
    assert "RUN" not in order[len(order) - order[::-1].index("USER") :], "what is installed is installed before"
    probe = stage["HEALTHCHECK"][0]
    assert json.loads(probe[probe.index("CMD ") + 4 :]) == ["wake", "health", "--live"]
    assert json.loads(stage["ENTRYPOINT"][0]) == ["wake"]
    assert stage["STOPSIGNAL"] == ["SIGTERM"]


def test_the_image_is_built_from_what_is_here() -> None:
    """Its Python is one that we run on, its packages are the locked ones, and everything that is copied exists and is sent."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pythons = {match for word, rest in instructions() if word == "FROM" for match in re.findall(r"^python:(3\.\d+)-slim", rest)}
    assert len(pythons) == 1
    assert f"Programming Language :: Python :: {pythons.pop()}" in project["classifiers"]
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("--constraint constraints.txt" in rest for rest in installs)
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    sources = [source for word, rest in instructions() if word == "COPY" and "--from" not in rest for source in shlex.split(rest)[:-1]]
    assert sorted(source.removeprefix("./") for source in sources) == sorted(sent)
    assert all((ROOT / source).exists() for source in sources)
    needed = {project["readme"], *project["license-files"], "pyproject.toml", "constraints.txt", "dispatcher", "workers"}
    assert needed <= set(sent)


def test_the_image_holds_no_secret() -> None:
    said = " ".join(rest for word, rest in instructions() if word in ("ENV", "ARG", "RUN", "COPY"))
    assert not re.search(r"password|secret|token|\.env\b|redis://", said, re.IGNORECASE)


def test_the_runner_of_the_example_can_be_started() -> None:
    config = load(ROOT / "examples" / "compose" / "wake.toml", {})
    for agent_id in ("main", "ops"):
        runner = config.agent(agent_id).runner
        assert runner is not None
        assert runner.type == "command"
        program = ROOT / "examples" / "compose" / runner.command[0]
        assert program.stat().st_mode & 0o111
