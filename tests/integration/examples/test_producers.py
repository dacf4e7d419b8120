"""Producers in other languages and places: what they report, and that it is kept while nobody takes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.node import node
from tests.support.receiver import Reply
from tests.support.sources import ROOT
from tests.support.stand_in_ingress import StandInIngress

CLIENT = ROOT / "examples/node-client/wake-client.mjs"
ONCE = Path(__file__).parent / "client_once.mjs"
NOBODY = "http://127.0.0.1:9"
KEY = "agent:ops:main"


def client(url: str, spool: Path, method: str, *args: Any) -> dict[str, Any]:
    options = {"url": url, "token": "t0ken", "spool": str(spool)}
    call = json.dumps([str(CLIENT), options, method, list(args)])
    done = subprocess.run([node(), ONCE], input=call, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_node_client_reports_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with StandInIngress() as ingress:
        said = client(
            ingress.base, tmp_path / "spool", "report", {"session_key": KEY, "exit_code": 1, "output": "é" * 40_000 + "end", "mine": 1}
        )
        (accepted,) = ingress.has_accepted()
    assert said == {"completion_id": accepted["completion_id"], "state": "accepted"}
    assert (accepted["session_key"], accepted["exit_code"], accepted["mine"]) == (KEY, 1, 1)
    assert len(accepted["output"].encode()) in (65_535, 65_536)
    assert accepted["output"].endswith("éend")
    assert not list((tmp_path / "spool").iterdir())


def test_the_node_client_keeps_what_nobody_takes_and_sends_it_with_the_next(tmp_path: Path) -> None:
    """In order, and under the id that it had: the dispatcher may have accepted what it did not answer."""
    spool = tmp_path / "spool"
    kept = [client(NOBODY, spool, "report", {"session_key": KEY, "output": word})["completion_id"] for word in "ab"]
    assert client(NOBODY, spool, "flush") == {"sent": 0, "left": 2}
    assert all(file.stat().st_mode & 0o077 == 0 for file in spool.iterdir())
    with StandInIngress("t0ken", Reply(503)) as ingress:
        assert client(ingress.base, spool, "flush") == {"sent": 0, "left": 2}
        client(ingress.base, spool, "report", {"session_key": KEY, "completion_id": "c-3"})
        assert list(ingress.accepted) == ["c-3", *kept]
    assert not list(spool.iterdir())


def test_the_node_client_says_what_is_refused_for_ever_and_goes_on_without_it(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    client(NOBODY, spool, "report", {"session_key": KEY, "completion_id": "c-1"})
    with StandInIngress("t0ken", Reply(422, b"what is that?")) as ingress:
        assert client(ingress.base, spool, "report", {"session_key": 7}) == {"thrown": "Refused", "status": 422, "problem": "what is that?"}
        assert client(ingress.base, spool, "flush") == {"sent": 1, "left": 0}
        assert list(ingress.accepted) == ["c-1"]
    assert len(list((spool / "refused").iterdir())) == 1


def test_the_node_client_keeps_what_a_wrong_token_cannot_report(tmp_path: Path) -> None:
    with StandInIngress("another") as ingress:
        assert client(ingress.base, tmp_path / "spool", "report", {"session_key": KEY})["state"] == "spooled"
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_the_curl_line_of_the_manual_reports(tmp_path: Path) -> None:
    (line,) = re.findall(r"```sh\n(curl .*?)```", (ROOT / "docs/producers.md").read_text(), re.S)
    with StandInIngress("t0ken", Reply(503, headers=(("Retry-After", "1"),))) as ingress:
        env = {**os.environ, "WAKE_TOKEN": "t0ken", "WAKE_URL": ingress.base}
        assert shutil.which("curl"), "curl is what this is about; install it"
        subprocess.run(["sh", "-c", line], env=env, cwd=tmp_path, timeout=90, check=True)
        (accepted,) = ingress.has_accepted()
    assert accepted == {"completion_id": "build-7", "session_key": KEY, "exit_code": 1, "output": "2 failed"}
