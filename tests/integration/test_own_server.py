"""Backup and restore of a server of one's own, as docs/operations.md says it: with nothing but what the server itself can do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import redis

from tests.support.gates import wait_until
from tests.support.server import Server

PATIENCE_S = 60


def persistence(client: redis.Redis) -> dict[str, Any]:
    found: Any = client.info("persistence")
    return dict(found)


def copies(server: Server, folder: Path) -> list[Path]:
    """By BGSAVE; and over the network where that client is there."""
    found = [folder / "copied.rdb"]
    with server.client() as client:
        client.bgsave()
        wait_until(lambda: persistence(client)["rdb_bgsave_in_progress"] == 0, PATIENCE_S, "it is saved")
        assert persistence(client)["rdb_last_bgsave_status"] == "ok"
        place: Any = client.config_get("dir")
    shutil.copy(Path(place["dir"]) / "dump.rdb", found[0])
    for name in ("valkey-cli", "redis-cli"):
        if program := shutil.which(name):
            found.append(folder / f"{name}.rdb")
            subprocess.run([program, "-p", str(server.port), "--rdb", str(found[-1])], check=True, timeout=120, capture_output=True)
    return found


def test_the_copy_comes_back_and_stays(tmp_path: Path) -> None:
    """Also after a crash of the server that took it: by then its append-only file has all of it."""
    with Server(tcp=True) as old:
        with old.client() as client:
            client.set("before", "1")
        taken = copies(old, tmp_path)
    for copy in taken:
        new = Server()
        try:
            shutil.copy(copy, new.folder / "wake.rdb")
            new.words = ["--appendonly", "no", "--dbfilename", "wake.rdb"]
            new.start()
            with new.client() as client:
                client.config_set("appendonly", "yes")
                wait_until(lambda: done(persistence(client)), PATIENCE_S, "the append-only file is written")
            new.stop()
            new.words = []
            for _ in range(2):
                new.start()
                with new.client() as client:
                    assert client.keys() == ["before"]
                    assert client.config_get("appendonly") == {"appendonly": "yes"}
                new.kill()
        finally:
            new.close()


def done(said: dict[str, Any]) -> bool:
    return bool(said["aof_rewrite_in_progress"] == 0 and said["aof_rewrite_scheduled"] == 0)


def test_without_that_a_server_ignores_the_copy(tmp_path: Path) -> None:
    """Which is why the page says so."""
    with Server(tcp=True) as old:
        with old.client() as client:
            client.set("before", "1")
        copy = copies(old, tmp_path)[0]
    new = Server()
    try:
        shutil.copy(copy, new.folder / "wake.rdb")
        new.words = ["--dbfilename", "wake.rdb"]
        new.start()
        with new.client() as client:
            assert client.dbsize() == 0
    finally:
        new.close()
