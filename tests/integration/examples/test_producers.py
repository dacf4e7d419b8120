"""Producers in other languages and places: what they report, and that it is kept while nobody takes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S
from tests.support.ingress import Ingress
from tests.support.node import node
from tests.support.server import Server
from tests.support.sources import ROOT

CLIENT = ROOT / "examples/node-client/wake-client.mjs"
ONCE = Path(__file__).parent / "client_once.mjs"
NOBODY = "http://127.0.0.1:9"
KEY = "agent:ops:main"


def client(url: str, spool: Path, method: str, *args: Any, token: str = "none") -> dict[str, Any]:
    options = {"url": url, "token": token, "spool": str(spool)}
    call = json.dumps([str(CLIENT), options, method, list(args)])
    done = subprocess.run([node(), ONCE], input=call, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_node_client_reports_and_leaves_nothing_behind(tmp_path: Path, ingress: Ingress) -> None:
    words = {"session_key": KEY, "exit_code": 1, "output": "é" * 40_000 + "end", "mine": 1}
    said = client(ingress.place, tmp_path / "spool", "report", words, token=ingress.token("ops"))
    (accepted,) = ingress.accepted()
    assert said == {"completion_id": accepted["completion_id"], "state": "accepted"}
    assert (accepted["session_key"], accepted["exit_code"], accepted["mine"]) == (KEY, 1, 1)
    assert len(accepted["output"].encode()) in (65_535, 65_536)
    assert accepted["output"].endswith("éend")
    assert not list((tmp_path / "spool").iterdir())


def test_the_node_client_keeps_what_nobody_takes_and_sends_it_with_the_next(tmp_path: Path, ingress: Ingress) -> None:
    """In order, and under the id that it had: the dispatcher may have accepted what it did not answer."""
    spool, token = tmp_path / "spool", ingress.token("ops")
    kept = [client(NOBODY, spool, "report", {"session_key": KEY, "output": word})["completion_id"] for word in "ab"]
    assert client(NOBODY, spool, "flush") == {"sent": 0, "left": 2}
    assert all(file.stat().st_mode & 0o077 == 0 for file in spool.iterdir())
    client(ingress.place, spool, "report", {"session_key": KEY, "completion_id": "c-3"}, token=token)
    assert [said["completion_id"] for said in ingress.accepted(3)] == ["c-3", *kept]
    assert not list(spool.iterdir())


def test_the_node_client_says_what_is_refused_for_ever_and_goes_on_without_it(tmp_path: Path, ingress: Ingress) -> None:
    spool, token = tmp_path / "spool", ingress.token("ops")
    client(NOBODY, spool, "report", {"session_key": KEY, "completion_id": "c-1"})
    refused = client(ingress.place, spool, "report", {"session_key": 7}, token=token)
    assert (refused["thrown"], refused["status"]) == ("Refused", 422)
    assert "session_key" in json.loads(refused["problem"])["detail"]
    assert client(ingress.place, spool, "flush", token=token) == {"sent": 1, "left": 0}
    assert [said["completion_id"] for said in ingress.accepted()] == ["c-1"]
    assert len(list((spool / "refused").iterdir())) == 1


def test_the_node_client_keeps_what_its_token_cannot_report(tmp_path: Path, ingress: Ingress) -> None:
    """One that covers another agent holds up only what it does not cover."""
    spool = tmp_path / "spool"
    assert client(ingress.place, spool, "report", {"session_key": KEY, "completion_id": "c-1"})["state"] == "spooled"
    other = ingress.token("research")
    assert client(ingress.place, spool, "flush", token=other) == {"sent": 0, "left": 1}
    words = {"session_key": "agent:research:main", "completion_id": "c-2"}
    client(NOBODY, spool, "report", words)
    assert client(ingress.place, spool, "flush", token=other) == {"sent": 1, "left": 1}
    assert client(ingress.place, spool, "flush", token=ingress.token("ops")) == {"sent": 1, "left": 0}
    assert [said["completion_id"] for said in ingress.accepted(2)] == ["c-2", "c-1"]


def test_the_curl_line_of_the_manual_reports(tmp_path: Path, ingress: Ingress, server: Server) -> None:
    """Also when the server is away at first."""
    (line,) = re.findall(r"```sh\n(curl .*?)```", (ROOT / "docs/producers.md").read_text(), re.S)
    assert shutil.which("curl"), "curl is what this is about; install it"
    env = {**os.environ, "WAKE_INGRESS_TOKEN": ingress.token("ops"), "WAKE_URL": ingress.place}
    server.kill()
    warned = ingress.process.said().count("WARNING")
    with subprocess.Popen(["sh", "-c", line], env=env, cwd=tmp_path) as curl:
        wait_until(lambda: ingress.process.said().count("WARNING") > warned, PATIENCE_S, "it was told to come again")
        server.start()
        assert curl.wait(PATIENCE_S) == 0
    (accepted,) = ingress.accepted()
    assert {"completion_id": "build-7", "session_key": KEY, "exit_code": 1, "output": "2 failed"}.items() <= accepted.items()
