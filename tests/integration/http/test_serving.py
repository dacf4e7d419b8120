"""Where the ingress listens, what it refuses to start with, and how it ends."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S
from tests.support.ingress import AGENTS, Ingress
from tests.support.sources import ROOT

ONE = {"completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 1}


def refused(ingress: Ingress) -> str:
    """What it says when it does not start."""
    assert ingress.process.ends() == 2
    return ingress.process.said()


def test_a_unix_socket_is_its_owners(start: Callable[..., Ingress]) -> None:
    """One that a dead process left is replaced, one of a living process is not."""
    first = start('uds = "run/http.sock"').ready()
    path = first.folder / "run" / "http.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.post("completions", ONE).status == 202
    assert first.post("completions", ONE, token="wrong").status == 401
    assert "cannot be used" in refused(start("", None, "--uds", str(path)))
    first.process.kill()
    second = start("", None, "--uds", str(path)).ready()
    assert second.post("completions", ONE).status == 200
    second.process.signal(signal.SIGTERM)
    assert second.process.ends() == 0
    assert not path.exists()


def test_a_file_is_not_replaced_by_a_socket(start: Callable[..., Ingress], tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    assert "there is a file of this name" in refused(start("", None, "--uds", str(tmp_path / "precious")))
    assert (tmp_path / "precious").read_text() == "x"


def test_a_port_that_is_taken(start: Callable[..., Ingress]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(start(f"port = {taken.getsockname()[1]}"))
    assert "cannot be used" in said
    assert "Traceback" not in said


def test_beyond_loopback_only_with_tokens(start: Callable[..., Ingress]) -> None:
    assert "not loopback" in refused(start('host = "0.0.0.0"\nrequire_token = false'))
    wide = start('host = "0.0.0.0"').ready()
    assert "put TLS before it" in wide.process.said()


def test_without_a_key_it_does_not_start(start: Callable[..., Ingress]) -> None:
    ingress = start("", '[tokens]\nkey_files = ["none"]\n' + AGENTS)
    assert "wake token keygen" in refused(ingress)


def test_on_loopback_it_may_go_without_tokens(start: Callable[..., Ingress]) -> None:
    """A token that comes all the same is checked; and where routing asks for them, so does the ingress."""
    ingress = start("require_token = false").ready()
    assert "NO tokens" in ingress.process.said()
    assert ingress.post("completions", ONE, token=None).status == 202
    assert ingress.post("completions", ONE | {"session_key": "agent:research:main", "completion_id": "c2"}).status == 403
    assert ingress.post("completions", ONE, token="wrong").status == 401
    strict = start(
        "require_token = false", AGENTS.replace("[routing.bindings]", "[routing]\nrequire_token = true\n[routing.bindings]")
    ).ready()
    assert strict.post("completions", ONE, token=None).status == 401


def test_it_ends_well_and_keeps_nobody_waiting(start: Callable[..., Ingress]) -> None:
    ingress = start().ready()
    ingress.post("completions", ONE)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(ingress.get, "c1", "?wait=settled&timeout_s=60")
        before = int(ingress.store.client.info("commandstats")["cmdstat_hmget"]["calls"])
        wait_until(
            lambda: int(ingress.store.client.info("commandstats")["cmdstat_hmget"]["calls"]) > before + 2, PATIENCE_S, "the request waits"
        )
        ingress.process.signal(signal.SIGTERM)
        answer = waiting.result()
    assert (answer.status, answer.body["fate"]) == (200, "accepted")
    assert ingress.process.ends() == 0


@pytest.mark.parametrize("words", [["web"], ["up", "--http"]])
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, words: list[str]) -> None:
    """A finder that hides the packages stands in for an installation without them."""
    hide = "import sys, importlib.util as u; real = u.find_spec; u.find_spec = lambda n, *a: None if n == 'uvicorn' else real(n, *a)"
    run = f"{hide}; from workers.__main__ import main; raise SystemExit(main({words!r}))"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "pip install 'wake-dispatcher[http]'" in done.stderr
    assert not list(tmp_path.iterdir())
