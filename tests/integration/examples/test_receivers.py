"""The example receivers, run as a user runs them, with the real http runner before them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3

from dispatcher.config.credential import Credential
from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran
from tests.support.gates import wait_until
from tests.support.node import node
from tests.support.requests import request
from tests.support.sources import ROOT
from workers.runners import Control, RunResult
from workers.runners.http import HttpRunner, signed

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
FOREIGN = "whsec_" + base64.b64encode(bytes(32)).decode()
RECEIVERS = ROOT / "examples" / "receivers"
COMMANDS = {"python": [sys.executable, "-I", "-S", str(RECEIVERS / "receiver.py")], "node": [node(), str(RECEIVERS / "receiver.mjs")]}
PATIENCE_S = 40.0


class Example:
    """One running receiver and what it printed."""

    def __init__(self, log: Path) -> None:
        self.log = log
        first = wait_until(
            lambda: next((line for line in log.read_text().splitlines() if "listening" in line), ""), PATIENCE_S, "it listens"
        )
        self.url = first.split()[-1]

    def turns(self) -> int:
        return self.log.read_text().count("Exec completed")

    def gets(self, asked: HeartbeatRequest, secret: str = SECRET) -> RunResult:
        return HttpRunner(self.url, Credential(plain=secret)).run(asked, Control(60))

    def status(self, asked: HeartbeatRequest, headers: dict[str, str]) -> int:
        return urllib3.request("POST", self.url, body=asked.model_dump_json().encode(), headers=headers, retries=False).status


@contextmanager
def running(language: str, folder: Path) -> Iterator[Example]:
    log = folder / "log"
    env = {**os.environ, "WAKE_SECRET": SECRET, "PORT": "0", "JOURNAL": str(folder / "turns.jsonl")}
    with log.open("wb") as out, subprocess.Popen(COMMANDS[language], env=env, stdout=out, stderr=out) as process:
        try:
            yield Example(log)
        finally:
            process.kill()


@pytest.fixture(params=list(COMMANDS))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_heartbeat_is_one_turn_however_often_its_batch_comes(language: str, tmp_path: Path) -> None:
    """Also after the receiver was killed: it reads what it answered."""
    first = request(batch_id="b-1", token=7)
    again = first.model_copy(update={"attempt": 2, "token": 8})
    with running(language, tmp_path) as example:
        assert example.gets(first) == Ran(note="1 result(s) seen")
        assert example.gets(again) == Ran(note="1 result(s) seen")
        assert example.turns() == 1
    with running(language, tmp_path) as example:
        assert example.gets(again) == Ran(note="1 result(s) seen")
        assert example.turns() == 0
        assert example.gets(request(batch_id="b-2", token=9)) == Ran(note="1 result(s) seen")
        assert example.turns() == 1


def test_a_late_worker_is_refused_by_its_token_and_other_agents_are_not(language: str, tmp_path: Path) -> None:
    with running(language, tmp_path) as example:
        assert isinstance(example.gets(request(batch_id="b-1", token=1795348711992087)), Ran)
        assert example.gets(request(batch_id="b-2", token=1795348711992086)) == Busy(retry_after_ms=2_000)
        other = request(batch_id="b-3", token=5).model_copy(update={"agent_id": "lab", "session_key": "agent:lab:main"})
        assert isinstance(example.gets(other), Ran)
        assert example.turns() == 2
    with running(language, tmp_path) as example:
        assert example.gets(request(batch_id="b-2", token=1795348711992086)) == Busy(retry_after_ms=2_000)


def test_what_is_not_signed_by_us_and_fresh_is_refused(language: str, tmp_path: Path) -> None:
    asked = request()
    body, now = asked.model_dump_json().encode(), datetime.now(UTC)
    fresh = signed(asked, body, [SECRET], now)
    with running(language, tmp_path) as example:
        refused = example.gets(asked, FOREIGN)
        assert isinstance(refused, Failed)
        assert refused.final
        assert refused.error.startswith("HTTP 401")
        for stale in (now - timedelta(minutes=10), now + timedelta(minutes=10)):
            assert example.status(asked, signed(asked, body, [SECRET], stale)) == 401
        assert example.status(asked.model_copy(update={"token": 8}), fresh) == 401
        assert example.status(asked, {**fresh, "Wake-Fencing-Token": "9"}) == 400
        assert example.status(asked, {name: value for name, value in fresh.items() if name != "webhook-signature"}) == 401
        assert example.turns() == 0
        assert example.status(asked, signed(asked, body, [FOREIGN, SECRET], now)) == 200
        assert example.turns() == 1


def test_a_torn_last_line_of_the_journal_stops_nobody(language: str, tmp_path: Path) -> None:
    whole = json.dumps({"agent": "ops", "token": 10})
    (tmp_path / "turns.jsonl").write_text(f'{whole}\n{{"agent": "op')
    with running(language, tmp_path) as example:
        assert example.gets(request(token=9)) == Busy(retry_after_ms=2_000)
        assert isinstance(example.gets(request(token=11)), Ran)
    with running(language, tmp_path) as example:
        assert example.gets(request(token=10)) == Busy(retry_after_ms=2_000)
