"""What starts and stops workers by `wake scale`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import redis
import urllib3

from dispatcher.config import load
from dispatcher.routing import Router
from dispatcher.store.opened import open_store
from dispatcher.submit import completion_of, submission_of
from tests.support.desk import Bells
from tests.support.exec_process import environment
from tests.support.gates import wait_until
from tests.support.server import Server
from tests.support.sources import ROOT

SCALING = ROOT / "examples/scaling"
TOML = "[defaults]\nwindow_ms = 0\n[agents.a]\n[agents.b]\n[pools.agents]\nconcurrency = 1\n"


def backlog_of_two(folder: Path, server: Server) -> dict[str, str]:
    """Two agents that could start now in a pool with one place a worker; the environment of a `wake` command that sees them."""
    (folder / "wake.toml").write_text(TOML)
    store = open_store(load(folder / "wake.toml", {}), server.url)
    for agent in "ab":
        store.inbox.submit(submission_of(completion_of({"session_key": f"agent:{agent}:main", "exit_code": 1})))
    Router(store, load(folder / "wake.toml", {}), Bells()).drain_inbox()
    store.close()
    return environment(server.url, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def test_systemd_starts_the_wanted_ones_and_stops_the_others(tmp_path: Path, redis_client: redis.Redis, server: Server) -> None:
    assert redis_client.ping()
    env = backlog_of_two(tmp_path, server) | {"SYSTEMCTL": "echo"}
    words = [str(SCALING / "wake-scale"), "agents", "3"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=True)
    said = [line.removeprefix("--no-block ") for line in done.stdout.splitlines()]
    assert said == [f"{verb} wake-worker-agents@{n}.service" for n, verb in enumerate(("start", "start", "stop"), 1)]
    away = subprocess.run(
        words, cwd=tmp_path, env=env | {"WAKE_REDIS_URL": "redis://127.0.0.1:9/0"}, capture_output=True, text=True, timeout=120
    )
    assert (away.returncode, away.stdout) == (75, "")


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_keda_is_answered_the_number_that_it_asks_for(tmp_path: Path, redis_client: redis.Redis, server: Server) -> None:
    assert redis_client.ping()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = backlog_of_two(tmp_path, server) | {"WAKE_SCALE_PORT": str(port)}
    serving = subprocess.Popen([sys.executable, SCALING / "serve.py"], cwd=tmp_path, env=env)
    try:
        wait_until(lambda: listens(port), 60, "it listens")
        with urllib3.PoolManager() as http:
            answer = http.request("GET", f"http://127.0.0.1:{port}/agents", timeout=60)
            assert (answer.status, answer.json()["wanted_workers"]) == (200, 2)
            assert http.request("GET", f"http://127.0.0.1:{port}/", timeout=60).status == 404
    finally:
        serving.kill()
        serving.wait()
    asked = (SCALING / "keda.yaml").read_text()
    assert "valueLocation: wanted_workers" in asked
    assert "wake-scale:8391/agents" in asked
