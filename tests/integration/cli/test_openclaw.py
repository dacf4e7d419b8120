"""`wake import-openclaw` and `wake doctor --openclaw`: from a gateway's file to a wake.toml, and what is still missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dispatcher.app import forget_current
from dispatcher.cli.app import run
from dispatcher.config import load
from tests.support.exec_process import environment
from tests.support.receiver import Receiver, Reply, answering

GATEWAY = """
// a comment, as people write them
{
  gateway: { port: 19001, auth: { token: "of-the-gateway" } },
  hooks: { enabled: true, token: "of-the-hooks", path: "/in", allowRequestSessionKey: true,
           allowedSessionKeyPrefixes: ["agent:", "hook:"], },
  agents: {
    defaults: { userTimezone: "Europe/Berlin",
      heartbeat: { every: "45m", target: "owner", activeHours: { start: "08:00", end: "24:00" } } },
    entries: {
      ops: { heartbeat: { every: "10m" } },
      Lab: { heartbeat: { activeHours: { start: "22:00", end: "06:00", timezone: "America/New_York" } } },
      quiet: {},
      off: { heartbeat: { every: "0m", activeHours: { start: "08:00", end: "09:00", timezone: "local" } } },
      "not an id": {},
    },
  },
  tools: { exec: { notifyOnExit: false } },
  plugins: { entries: { "wake-reporter": { enabled: true } } },
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAKE_CONFIG", "")
    (tmp_path / "openclaw.json").write_text(GATEWAY)
    (tmp_path / "token").write_text("of-the-hooks\n")
    forget_current()
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    assert run(["import-openclaw", "openclaw.json", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    Path("imported.toml").write_text(said["toml"])
    load(Path("imported.toml"), {})  # it is usable as it is
    return tomllib.loads(said["toml"]), "\n".join(said["differs"])


def test_agents_cadence_and_active_hours_are_taken_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One agent with a heartbeat of its own means that only such agents have one."""
    assert folder.exists()
    found, differs = imported(capsys)
    assert found == {
        "defaults": {
            "runner": {"type": "openclaw", "url": "http://127.0.0.1:19001/in", "secret_file": "openclaw-hooks.token"},
            "user_timezone": "Europe/Berlin",
        },
        "agents": {
            "ops": {"every": "10m", "active_hours": {"start": "08:00", "end": "24:00"}},
            "lab": {"every": "45m", "active_hours": {"start": "22:00", "end": "06:00", "timezone": "America/New_York"}},
            "quiet": {"every": "0", "active_hours": {"start": "08:00", "end": "24:00"}},
            "off": {"every": "0", "active_hours": {"start": "08:00", "end": "09:00"}},
        },
    }
    for word in ("'not an id'", "agent ops: heartbeat target", "agent off: active hours follow the clock", "both would tick"):
        assert word in differs
    assert "notifyOnExit" not in differs


def test_a_gateway_without_settings_has_one_agent_and_its_default_cadence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "openclaw.json").write_text("{}")
    found, differs = imported(capsys)
    assert found["agents"] == {"main": {"every": "30m"}}
    assert found["defaults"]["runner"]["url"] == "http://127.0.0.1:18789/hooks"
    assert "notifyOnExit" in differs


def test_the_list_of_older_releases_is_read_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "openclaw.json").write_text('{"agents": {"list": [{"id": "a"}, {"id": "b", "heartbeat": {"every": "1h"}}]}}')
    assert imported(capsys)[0]["agents"] == {"a": {"every": "0"}, "b": {"every": "1h"}}


def test_no_token_is_copied_and_no_file_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import-openclaw", "openclaw.json", "--output", "wake.toml"]) == 0
    written = (folder / "wake.toml").read_text()
    said = capsys.readouterr()
    assert "of-the" not in written + said.out + said.err
    assert "differs: " in said.err
    assert run(["import-openclaw", "openclaw.json", "--output", "wake.toml"]) == 2
    assert (folder / "wake.toml").read_text() == written


@pytest.mark.parametrize("place", ["no-folder/wake.toml", "openclaw.json/wake.toml"])
def test_nothing_is_said_to_be_made_before_it_is_written(folder: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    for words in ((), ("--json",)):
        assert run(["import-openclaw", "openclaw.json", "--output", place, *words]) == 2
        said = capsys.readouterr()
        assert "toml =" not in said.out
        assert "differs" not in said.out + said.err
        assert f"{place}: " in said.err
    assert not (folder / place).exists()


def test_a_file_is_whole_or_not_there(folder: Path) -> None:
    """No file of this process may grow: the same answer as from a full disk."""
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)); from dispatcher.cli.app import run; "
    words = [sys.executable, "-c", script + "raise SystemExit(run())", "import-openclaw", "openclaw.json", "--output", "made.toml"]
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, "File too large" in done.stderr) == (2, True)
    assert not (folder / "made.toml").exists()


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_what_is_no_openclaw_json_is_said(folder: Path, capsys: pytest.CaptureFixture[str], text: str | None) -> None:
    (folder / "openclaw.json").unlink()
    if text is not None:
        (folder / "openclaw.json").write_text(text)
    assert run(["import-openclaw", "openclaw.json"]) == 2
    assert "openclaw.json" in capsys.readouterr().err


def examined(folder: Path, capsys: pytest.CaptureFixture[str], url: str, agents: str = "[agents.ops]") -> list[str]:
    (folder / "wake.toml").write_text(f'[defaults]\nrunner = {{ type = "openclaw", url = "{url}", secret_file = "token" }}\n{agents}\n')
    forget_current()
    code = run(["doctor", "--openclaw", "openclaw.json", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == (0 if said["ok"] else 1)
    assert said["ok"] is (said["problems"] == [])
    problems: list[str] = said["problems"]
    return problems


def test_a_gateway_that_is_ready_has_no_problem_and_takes_no_turn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Receiver(answering(Reply(400))) as gateway:
        assert examined(folder, capsys, gateway.url) == []
    (got,) = gateway.got
    assert (got.path, got.headers["authorization"], got.body) == ("/wake/agent", "Bearer of-the-hooks", b"{}")


def test_everything_that_is_missing_is_said_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {
        "gateway": {"auth": {"token": "t"}},
        "hooks": {"token": "t", "allowedSessionKeyPrefixes": ["x:"], "allowedAgentIds": ["build"]},
        "agents": {"entries": {"build": {"tools": {"exec": {"notifyOnExit": True}}}}},
    }
    (folder / "openclaw.json").write_text(json.dumps(wrong))
    with Receiver(answering(Reply(401))) as gateway:
        problems = examined(folder, capsys, gateway.url)
    expected = [
        "hooks.enabled",
        "hooks.token is the gateway's own",
        "hooks.allowRequestSessionKey",
        'no "agent:"',
        'no "hook:"',
        "hooks.allowedAgentIds has no 'ops'",
        "tools.exec.notifyOnExit is not false",
        "agents.entries.build.tools.exec.notifyOnExit",
        "wake-reporter",
        "agent ops: the gateway has none of this name",
        "refuses the runner's token",
    ]
    assert len(problems) == len(expected)
    assert all(word in problem for word, problem in zip(expected, problems, strict=True))
    assert "of-the-hooks" not in str(problems)


@pytest.mark.parametrize(("status", "word"), [(404, "has no hooks"), (429, "too many wrong tokens"), (200, "as no gateway does")])
def test_what_answers_there_is_told_apart(folder: Path, capsys: pytest.CaptureFixture[str], status: int, word: str) -> None:
    with Receiver(answering(Reply(status))) as gateway:
        (problem,) = examined(folder, capsys, gateway.url)
    assert word in problem


def test_a_gateway_that_is_away_and_a_token_that_is_not_there_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Receiver(answering(Reply(400))) as gateway:
        url = gateway.url
    assert "cannot be reached" in examined(folder, capsys, url)[0]
    (folder / "token").unlink()
    assert "cannot be read" in examined(folder, capsys, url)[0]


def test_a_configuration_without_a_gateway_is_told_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "wake.toml").write_text("[agents.ops]\n")
    assert run(["doctor", "--openclaw", "openclaw.json"]) == 1
    assert "wake import-openclaw" in capsys.readouterr().err
