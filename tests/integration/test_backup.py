"""A backup of the embedded server while it works, and what taking it back does to a folder."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dispatcher.cli.app import run
from dispatcher.core.errors import BackupError, EmbeddedServerError
from dispatcher.embedded import EmbeddedServer
from dispatcher.store.backup import back_up, restore


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: pytest's own are near the bound of a socket path."""
    with tempfile.TemporaryDirectory(prefix="wk-") as name:
        yield Path(name)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(folder / "d")
    server.start()
    yield server
    server.stop()


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True, protocol=2)


def test_it_comes_back_as_it_was_and_stays(folder: Path, server: EmbeddedServer) -> None:
    """Also after the restart that follows: the append-only file has all of it. What was there meanwhile is moved aside."""
    target = folder / "wake.rdb"
    with client(server) as one:
        one.set("before", "1")
        size_bytes = back_up(one, server.data_dir, target)
        one.set("after", "1")
    assert (target.stat().st_size, stat.S_IMODE(target.stat().st_mode)) == (size_bytes, 0o600)
    server.stop()
    aside = restore(server.data_dir, target)
    for _ in range(2):
        server.start()
        with client(server) as one:
            assert one.keys() == ["before"]
            assert one.config_get("appendonly") == {"appendonly": "yes"}
        server.stop()
    assert aside is not None
    assert aside.is_dir()
    assert sorted(path.name for path in folder.iterdir()) == ["d", "wake.rdb"]
    assert not (server.data_dir / "dump.rdb").exists()


def test_into_an_empty_folder(folder: Path, server: EmbeddedServer) -> None:
    with client(server) as one:
        one.set("before", "1")
        back_up(one, server.data_dir, folder / "wake.rdb")
    assert restore(folder / "new", folder / "wake.rdb") is None
    other = EmbeddedServer(folder / "new")
    other.start()
    try:
        with client(other) as one:
            assert one.keys() == ["before"]
    finally:
        other.stop()


def test_not_while_something_runs_on_the_folder(folder: Path, server: EmbeddedServer) -> None:
    with client(server) as one:
        back_up(one, server.data_dir, folder / "wake.rdb")
    with pytest.raises(EmbeddedServerError, match="already runs"):
        restore(server.data_dir, folder / "wake.rdb")


@pytest.mark.parametrize("words", [b"", b"session key", b"REDIS0011 and then nothing that anybody could read"])
def test_a_file_that_is_no_backup_changes_nothing(folder: Path, server: EmbeddedServer, words: bytes) -> None:
    (folder / "wrong").write_bytes(words)
    with client(server) as one:
        one.set("kept", "1")
    server.stop()
    with pytest.raises(BackupError, match="restore"):
        restore(server.data_dir, folder / "wrong")
    server.start()
    with client(server) as one:
        assert one.keys() == ["kept"]
    assert [path.name for path in server.data_dir.glob("appendonlydir*")] == ["appendonlydir"]


def test_a_target_that_cannot_be_written_leaves_nothing_behind(folder: Path, server: EmbeddedServer) -> None:
    with client(server) as one, pytest.raises(BackupError, match="name a file in a folder with room"):
        back_up(one, server.data_dir, folder / "nowhere" / "wake.rdb")
    assert not (server.data_dir / "dump.rdb").exists()


@pytest.mark.timeout(60)
def test_a_server_that_writes_elsewhere_is_not_waited_for(folder: Path, server: EmbeddedServer) -> None:
    (folder / "other").mkdir()
    with client(server) as one, pytest.raises(BackupError, match="name the data_dir of this server"):
        back_up(one, folder / "other", folder / "wake.rdb")
    assert not (folder / "wake.rdb").exists()


def test_the_commands(folder: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WAKE_REDIS_URL", raising=False)
    monkeypatch.delenv("WAKE_CONFIG", raising=False)
    (folder / "wake.toml").write_text('[redis]\ndata_dir = "d"\n[agents.ops]\n')
    assert run(["backup", "wake.rdb"]) == 0
    assert "`wake restore wake.rdb` takes it back" in capsys.readouterr().out
    server.stop()
    assert run(["restore", "wake.rdb"]) == 0
    assert "what was there lies in" in capsys.readouterr().out
    assert run(["restore", "wake.toml"]) == 1
    assert "this is no backup" in capsys.readouterr().err


def test_another_server_has_tools_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WAKE_REDIS_URL", "redis://127.0.0.1:1/0")
    for words in (["backup", "wake.rdb"], ["restore", "wake.rdb"]):
        assert run(words) == 2
        assert "docs/operations.md" in capsys.readouterr().err
