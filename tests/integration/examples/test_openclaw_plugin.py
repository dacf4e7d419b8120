"""The gateway's plugin and its reporter: what becomes of a background exec, and that its end is never lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.ingress import Ingress
from tests.support.node import node
from tests.support.receiver import Got, Handler, Receiver, Reply
from tests.support.sources import ROOT
from tests.support.stand_in_ingress import StandInIngress

PLUGIN = ROOT / "examples" / "openclaw" / "plugin"
WRAP_ONCE = Path(__file__).parent / "wrap_once.mjs"
NOBODY = "http://127.0.0.1:9"
PATIENCE_S = 40.0
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh") if shutil.which(shell)]


class Execs:
    """Execs of one gateway, wrapped by the plugin as it is shipped."""

    def __init__(self, folder: Path, url: str, token: str = "t0ken") -> None:
        self.spool, self.token = folder / "spool", folder / "token"
        self.token.write_text(f"{token}\n")
        self.config = {"url": url, "tokenFile": str(self.token), "spool": str(self.spool)}

    def wrapped(self, params: dict[str, Any], **over: Any) -> dict[str, Any] | None:
        words = [json.dumps(word) for word in (self.config, params, over)]
        done = subprocess.run([node(), WRAP_ONCE, PLUGIN / "index.js", *words], capture_output=True, text=True, timeout=60, check=True)
        found: dict[str, Any] | None = json.loads(done.stdout)
        return found

    def run(self, command: str, shell: str = "sh", **params: Any) -> subprocess.CompletedProcess[str]:
        wrapped = self.wrapped({"command": command, "background": True, **params})
        assert wrapped is not None
        return subprocess.run([shell, "-c", wrapped["command"]], capture_output=True, text=True, timeout=60, check=False)

    def reports(self) -> list[Path]:
        return sorted(self.spool.glob("*.report"))

    def send(self) -> None:
        env = {**os.environ, "WAKE_SPOOL": str(self.spool), "WAKE_URL": self.config["url"], "WAKE_TOKEN_FILE": self.config["tokenFile"]}
        subprocess.run([node(), PLUGIN / "send.mjs"], env=env, timeout=60, check=True)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("echo out; echo err >&2; exit 3", 3, "out\nerr\n"),
        ("true", 0, ""),
        ("if then", None, None),
        ("cat <<END # it's \"quoted\" \\ $HOME\nthe 'text'\nEND", 0, "the 'text'\n"),
        ("echo a # a comment", 0, "a\n"),
        ("kill -9 $(sh -c 'echo $PPID')", 137, ""),
        ("seq 1 20000", 0, None),
    ],
)
def test_a_command_is_itself_and_its_end_is_reported(
    tmp_path: Path, ingress: Ingress, shell: str, command: str, code: int | None, output: str | None
) -> None:
    done = Execs(tmp_path, ingress.place, ingress.token("ops")).run(command, shell)
    (said,) = ingress.accepted()
    assert done.returncode == said["exit_code"]
    assert code in (None, done.returncode)
    assert done.stdout.endswith(said.get("output", ""))
    assert output in (None, done.stdout)
    assert bool(said.get("output")) == bool(done.stdout)
    if command.startswith("seq"):
        assert len(said["output"]) == 16_384
        assert done.stdout == "".join(f"{n}\n" for n in range(1, 20_001))
    assert abs(datetime.fromisoformat(said["finished_at"]).timestamp() - time.time()) < 600
    fixed = {"completion_id": "r-1:call-1", "session_key": "agent:ops:main", "run_id": "r-1", "command": command}
    assert fixed.items() <= said.items()


def test_a_command_in_a_terminal_keeps_it(tmp_path: Path, ingress: Ingress) -> None:
    done = Execs(tmp_path, ingress.place, ingress.token("ops")).run("echo hello >&2; exit 5", pty=True)
    (said,) = ingress.accepted()
    assert (done.returncode, done.stdout, done.stderr) == (5, "", "hello\n")
    assert (said["exit_code"], said.get("output", "")) == (5, "")


def test_what_is_no_background_exec_of_a_session_stays_as_it_is(tmp_path: Path) -> None:
    execs = Execs(tmp_path, NOBODY)
    background = {"command": "true", "background": True}
    assert execs.wrapped({"command": "true"}) is None
    assert execs.wrapped({"background": True}) is None
    assert execs.wrapped(background, toolKind="code_mode_exec") is None
    assert execs.wrapped(background, sessionKey="") is None
    changed = execs.wrapped({**background, "workdir": "/tmp"})
    assert changed is not None
    assert (changed["workdir"], changed["background"]) == ("/tmp", True)


def other(report: Path, old: bytes, new: bytes) -> None:
    """Rewrites a spool file: each of these is of the same call, and one more thing may be different."""
    report.write_bytes(report.read_bytes().replace(old, new))


def test_what_is_refused_for_what_it_is_stops_nobody_else(tmp_path: Path, ingress: Ingress) -> None:
    execs = Execs(tmp_path, NOBODY, ingress.token("ops"))
    for n in range(3):
        execs.run(f"echo {n}")
    first, second, third = execs.reports()
    first.write_bytes(b"no json\n0 1\n")
    other(second, b'"r-1:call-1"', b'"an id with spaces"')
    execs.config["url"] = ingress.place
    execs.send()
    (said,) = ingress.accepted()
    assert said["completion_id"] == "r-1:call-1"
    assert not execs.reports()
    assert {report.name for report in (execs.spool / "refused").iterdir()} == {first.name, second.name}
    assert not third.exists()


def test_another_sender_that_sets_a_refused_report_aside_first_is_no_error(tmp_path: Path) -> None:
    execs = Execs(tmp_path, NOBODY)
    execs.run("echo")
    (report,) = execs.reports()

    def other_sender(_handler: Handler, _got: Got) -> Reply:
        report.unlink()
        return Reply(422)

    with Receiver(other_sender) as receiver:
        execs.config["url"] = receiver.url
        execs.send()
    assert len(receiver.got) == 1


def test_what_the_token_does_not_cover_waits_for_one_that_does_and_stops_nobody_else(tmp_path: Path, ingress: Ingress) -> None:
    execs = Execs(tmp_path, NOBODY, ingress.token("ops"))
    for n in range(2):
        execs.run(f"echo {n}")
    first, second = execs.reports()
    other(first, b"agent:ops:main", b"agent:research:main")
    other(first, b"call-1", b"call-2")
    execs.config["url"] = ingress.place
    execs.send()
    assert [said["session_key"] for said in ingress.accepted()] == ["agent:ops:main"]
    assert execs.reports() == [first]
    assert not second.exists()
    execs.token.write_text(ingress.token("research"))
    execs.send()
    assert {said["session_key"] for said in ingress.accepted(2)} == {"agent:ops:main", "agent:research:main"}
    assert not execs.reports()


def test_a_token_that_is_wrong_or_has_expired_costs_no_report(tmp_path: Path, ingress: Ingress) -> None:
    execs = Execs(tmp_path, NOBODY, "another")
    execs.run("echo 1")
    execs.config["url"] = ingress.place
    execs.send()
    execs.token.write_text(ingress.token("ops", ttl_s=60, ago_s=600))
    execs.send()
    assert len(execs.reports()) == 1
    execs.token.write_text(ingress.token("ops"))
    execs.send()
    assert len(ingress.accepted()) == 1
    assert not execs.reports()


def test_a_tool_call_id_of_any_form_is_reported(tmp_path: Path, ingress: Ingress) -> None:
    """The dispatcher takes 200 printable characters; providers make up longer ones. The same call is the same id."""
    execs = Execs(tmp_path, ingress.place, ingress.token("ops"))
    long = "x" * 300
    for call in (long, "é y"):
        wrapped = execs.wrapped({"command": "true", "background": True}, toolCallId=call)
        assert wrapped is not None
        subprocess.run(["sh", "-c", wrapped["command"]], timeout=60, check=True)
    wait_until(lambda: not execs.reports(), PATIENCE_S, "everything is sent")
    assert not (execs.spool / "refused").exists()
    first, second = (said["completion_id"] for said in ingress.accepted(2))
    assert first != second
    again = execs.wrapped({"command": "true", "background": True}, toolCallId=long)
    assert again is not None
    assert (first in again["command"]) != (second in again["command"])


def test_the_report_is_on_disk_before_the_exec_ends_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    execs = Execs(tmp_path, NOBODY)
    execs.run("echo secret")
    (report,) = execs.reports()
    assert report.stat().st_mode & 0o077 == 0
    assert execs.spool.stat().st_mode & 0o077 == 0
    assert report.read_bytes().endswith(b"\nsecret\n")


def test_an_exec_does_not_wait_for_the_network(tmp_path: Path) -> None:
    """The sender is a process of its own: while it hangs at a dispatcher that does not answer, the exec has ended."""
    with StandInIngress() as ingress:
        ingress.play = lambda handler, _: handler.hang_until_closed()
        execs = Execs(tmp_path, ingress.base)
        assert execs.run("exit 4").returncode == 4
        ingress.has_got()
        assert not ingress.closed.is_set()
        assert len(execs.reports()) == 1


def test_two_senders_at_once_deliver_once(tmp_path: Path, ingress: Ingress) -> None:
    execs = Execs(tmp_path, NOBODY, ingress.token("ops"))
    execs.run("echo 1")
    env = {**os.environ, "WAKE_SPOOL": str(execs.spool), "WAKE_URL": ingress.place, "WAKE_TOKEN_FILE": execs.config["tokenFile"]}
    both = [subprocess.Popen([node(), PLUGIN / "send.mjs"], env=env) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert len(ingress.accepted()) == 1
    assert not execs.reports()
    assert not (execs.spool / "refused").exists()


def test_a_sender_that_is_killed_leaves_the_report(tmp_path: Path) -> None:
    execs = Execs(tmp_path, NOBODY)
    execs.run("echo 1")
    with StandInIngress() as ingress:
        ingress.play = lambda handler, _: handler.hang_until_closed()
        env = {**os.environ, "WAKE_SPOOL": str(execs.spool), "WAKE_URL": ingress.base, "WAKE_TOKEN_FILE": execs.config["tokenFile"]}
        sender = subprocess.Popen([node(), PLUGIN / "send.mjs"], env=env)
        ingress.has_got()
        sender.send_signal(signal.SIGKILL)
        sender.wait(60)
    wait_until(lambda: len(execs.reports()) == 1, PATIENCE_S, "the report is still there")
