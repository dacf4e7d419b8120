"""`wake service install`: files that the service managers take, for these paths, and that let a heartbeat end in peace."""

from __future__ import annotations

import os
import plistlib
import pwd
import shlex
import sys
from pathlib import Path

import pytest

from dispatcher.cli.service_files import Service, launchd_plist, systemd_unit
from tests.support.units import parsed, verify
from tests.support.wake_cli import WakeCli
from workers.supervisor import EXTRA_GRACE_S


@pytest.mark.parametrize("words", [(), ("--user",)])
def test_a_unit(wake: WakeCli, words: tuple[str, ...], tmp_path: Path) -> None:
    text = wake.run("service", "install", "--kind", "systemd", "--dry-run", *words).out
    unit = parsed(text)
    service = unit["Service"]
    program = [sys.executable, "-P", "-m", "dispatcher.cli", "--config", str(wake.folder / "wake.toml"), "up"]
    assert shlex.split(service["ExecStart"]) == program
    assert service["WorkingDirectory"] == str(wake.folder)
    assert (service["Restart"], service["KillMode"], service["OOMPolicy"]) == ("always", "process", "continue")
    # Workers, then the router, each may take its grace and what the supervisor adds; one at a time only if both hang.
    assert int(service["TimeoutStopSec"]) > 10 + 2 * EXTRA_GRACE_S
    assert ("User" in service) == (words == ())
    assert unit["Install"]["WantedBy"] == ("default.target" if words else "multi-user.target")
    assert "PrivateTmp" not in service, "the socket of the embedded server would be hidden from every other command"
    verify(text, tmp_path, user=bool(words))


def strange(tmp_path: Path) -> Service:
    folder = tmp_path / 'a "strange" $HOME 100%n'
    folder.mkdir()
    program = ("/bin/echo", "--config", str(folder / "wake.toml"), "up")
    return Service("wake", program, folder, folder / ".wake", "/bin:/opt/my tools:/x%y", 1500, None)


def test_strange_folders_are_quoted(tmp_path: Path) -> None:
    service = strange(tmp_path)
    text = systemd_unit(service)
    verify(text, tmp_path, user=True)
    unit = parsed(text)["Service"]
    assert [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(unit["ExecStart"])] == list(service.program)
    assert unit["Environment"] == '"PATH=/bin:/opt/my tools:/x%%y"'
    assert unit["TimeoutStopSec"] == "42"
    assert plistlib.loads(launchd_plist(service).encode())["ProgramArguments"] == list(service.program)


def test_a_property_list(wake: WakeCli) -> None:
    told = wake.json("service", "install", "--kind", "launchd", "--user", "--dry-run")
    assert (told["written"], told["kind"]) == (False, "launchd")
    assert told["path"] == str(Path.home() / "Library/LaunchAgents/wake-dispatcher.plist")
    content = plistlib.loads(told["text"].encode())
    assert content["Label"] == "wake-dispatcher"
    assert content["ProgramArguments"][-2:] == [str(wake.folder / "wake.toml"), "up"]
    assert content["WorkingDirectory"] == str(wake.folder)
    assert content["ExitTimeOut"] > 10 + 2 * EXTRA_GRACE_S
    assert content["AbandonProcessGroup"] is True
    assert "UserName" not in content
    told = wake.json("service", "install", "--kind", "launchd", "--dry-run")
    assert plistlib.loads(told["text"].encode())["UserName"]


def test_it_is_written_once_and_never_over_another(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(wake.folder / "home"))
    words = ("service", "install", "--user", "--kind", "systemd", "--name", "wake-lab")
    done = wake.run(*words)
    path = wake.folder / "home/systemd/user/wake-lab.service"
    assert done.code == 0
    assert "systemctl --user enable --now wake-lab" in done.out
    assert "WAKE_REDIS_URL" in done.err, "the service would not see it"
    assert wake.run(*words).code == 0, "the same again"
    for other in (b"another", b"\xff\xfe of another program"):
        path.write_bytes(other)
        assert wake.run(*words).code == 1
        assert path.read_bytes() == other
    assert wake.run(*words, "--force").code == 0
    assert parsed(path.read_text())


def test_without_a_file_or_with_a_wrong_name_there_is_no_service(wake: WakeCli) -> None:
    assert wake.run("service", "install", "--dry-run", "--name", "../x").code == 2
    (wake.folder / "wake.toml").unlink()
    done = wake.run("service", "install", "--dry-run", "--json")
    assert (done.code, "wake init" in done.document["error"]) == (2, True)


def test_an_owner_without_a_name_is_said(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user id stands in no file."""
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    done = wake.run("service", "install", "--kind", "systemd", "--dry-run")
    assert (done.code, f"user id {os.getuid()}, which has no name here" in done.err) == (2, True)
    assert wake.run("service", "install", "--kind", "systemd", "--dry-run", "--user").code == 0
