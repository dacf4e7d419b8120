"""A copy of everything that the embedded server holds, taken while it works, and the way back. Other servers have tools of their own.

The copy is one moment: the server forks and writes it as an RDB file in its folder. The way back goes through that file once, for a server
with an append-only file reads nothing else when it starts.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dispatcher.config.sections import RedisSettings
from dispatcher.core.errors import BackupError, EmbeddedServerError
from dispatcher.embedded import EmbeddedServer
from dispatcher.embedded.places import take_lock
from dispatcher.store.connect import connect, unavailable

DATA, SNAPSHOT = "appendonlydir", "dump.rdb"
MAGIC = (b"REDIS", b"VALKEY")
POLL_S = 0.05
ASIDE = "appendonlydir.before-restore-%Y%m%dT%H%M%SZ"


def back_up(client: Any, data_dir: Path, target: Path) -> int:
    """Writes what the embedded server of this folder holds now to `target`, readable by its owner only; the size in bytes.

    `target` is replaced in one step, when all of it is on the disk. Raises BackupError when it could not be written, EmbeddedServerError
    when another backup is under way, StoreUnavailable.
    """
    made = data_dir / SNAPSHOT
    fresh = target.with_name(f"{target.name}.new")
    lock = take_lock(data_dir / "backup.lock", f"back up: another backup of {data_dir} is under way; wait for it")
    try:
        made.unlink(missing_ok=True)
        with unavailable("back up"):
            begun = int(client.info("persistence")["rdb_saves"])  # counted when one begins
            client.bgsave(schedule=True)
            _wait(lambda: made.exists() or _ended(client, begun))
            written = client.info("persistence")["rdb_last_bgsave_status"] == "ok"
        if not made.exists():
            if written:
                raise BackupError(f"back up {data_dir}: the server wrote its data, and not to {made}; name the data_dir of this server")
            raise BackupError(f"back up {data_dir}: the server could not write its data; its log, {data_dir / 'server.log'}, says why")
        with made.open("rb") as source, os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        fresh.replace(target)
        return target.stat().st_size
    except OSError as error:
        raise BackupError(f"back up {data_dir} to {target}: {error.strerror or error}; name a file in a folder with room") from error
    finally:
        made.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)
        lock.close()


def restore(data_dir: Path, source: Path) -> Path | None:
    """Puts the copy in the place of what the folder holds. Where that was moved to; None when there was none.

    Nothing may run on the folder. Raises EmbeddedServerError when something does, BackupError when `source` is no copy; then the folder
    is as it was.
    """
    _check(source)
    server = EmbeddedServer(data_dir, durable=False)
    server.claim(alone=True)
    try:
        aside = _put_aside(data_dir)
        try:
            shutil.copyfile(source, data_dir / SNAPSHOT)
            _take_in(server, source)
        except BaseException:
            server.stop()
            shutil.rmtree(data_dir / DATA, ignore_errors=True)
            if aside is not None:
                aside.rename(data_dir / DATA)
            raise
        return aside
    except OSError as error:
        raise BackupError(f"restore {source} to {data_dir}: {error.strerror or error}; is there room, and may you write there?") from error
    finally:
        server.stop()
        (data_dir / SNAPSHOT).unlink(missing_ok=True)


def _check(source: Path) -> None:
    try:
        with source.open("rb") as file:
            if not file.read(6).startswith(MAGIC):
                raise BackupError(f"restore {source}: this is no backup; name a file that `wake backup` wrote")
    except OSError as error:
        raise BackupError(f"restore {source}: {error.strerror or error}; name a file that `wake backup` wrote") from error


def _put_aside(data_dir: Path) -> Path | None:
    """It is never deleted: who restores the wrong file can go back."""
    if not (data_dir / DATA).exists():
        return None
    return (data_dir / DATA).rename(data_dir / datetime.now(UTC).strftime(ASIDE))


def _take_in(server: EmbeddedServer, source: Path) -> None:
    """A server without an append-only file reads the copy, and then begins one."""
    try:
        client = connect(server.start(), RedisSettings())
    except EmbeddedServerError as error:
        raise BackupError(f"restore {source}: the server cannot read it: {error}") from error
    try:
        with unavailable(f"restore {source}"):
            client.config_set("appendonly", "yes")
            _wait(lambda: _written(client))
    finally:
        client.close()


def _wait(done: Callable[[], bool]) -> None:
    """Without bound: how long it takes depends on how much there is. `done` asks the server, so that its end is noticed, and its answer."""
    while not done():
        time.sleep(POLL_S)


def _ended(client: Any, begun: int) -> bool:
    """Whether a save later than these came to its end, good or bad. A good one has its file in place by then."""
    found = client.info("persistence")
    return int(found["rdb_saves"]) > begun and not found["rdb_bgsave_in_progress"]


def _written(client: Any) -> bool:
    found = client.info("persistence")
    if found["aof_last_bgrewrite_status"] != "ok":
        raise BackupError("restore: the server could not write its append-only file; is there room on the disk?")
    return bool(found["aof_enabled"]) and not found["aof_rewrite_in_progress"] and not found["aof_rewrite_scheduled"]
