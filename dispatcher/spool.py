"""Completions that could not be handed over yet: one file each, until a server takes them.

    <spool>/<time>-<random>.json   waiting, oldest first by name
    <spool>/.<name>.tmp            being written; seen only when its writer died
    <spool>/bad/<name>.json        set aside because no retry can help, `<name>.reason` beside it says why

A file is locked (flock) while somebody delivers it. The lock ends with the process that holds it, however that ends, so a file
whose flusher died is free again at once. A file is removed only after its submit returned; a flusher that dies between the two
delivers it twice under the same completion id, which the inbox answers as a duplicate for as long as it remembers ids.
Only the standard library is imported: `wake exec` keeps a completion here even when nothing else can be loaded.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from dispatcher.core.errors import InvalidCompletion, WakeError

STALE_WRITE_S = 3600.0  # a temporary file older than this has lost its writer
BAD = "bad"
MAX_FILES = 10_000  # the default of [bounds] max_spool, for when no configuration can be read


@dataclass(frozen=True)
class FlushReport:
    """What a flush did: `sent` were delivered now, `bad` were set aside now, `left` still wait; `trouble` tells why some do."""

    sent: int
    left: int
    bad: int
    trouble: str | None = None


class _Unreadable(WakeError):
    """A spool file does not hold a completion."""


class _End(Enum):
    SENT = "sent"
    BAD = "bad"
    NOT_OURS = "another flusher has it, or had it"


def write(spool_dir: Path, kwargs: dict[str, Any], max_files: int = MAX_FILES) -> Path:
    """Keeps a completion and returns its file; when this returns, file and folder are on disk.

    `kwargs` must carry its `completion_id`, fixed before the first try. Raises OSError (disk full, no permission, at the bound).
    """
    return _place(spool_dir, _content(kwargs), max_files)


def set_aside(spool_dir: Path, kwargs: dict[str, Any], reason: str, max_files: int = MAX_FILES) -> Path:
    """Keeps a completion that was refused for good in `bad/`, its reason beside it. Raises OSError like `write`."""
    return _place(spool_dir / BAD, _content(kwargs), max_files, reason)


def pending(spool_dir: Path) -> list[Path]:
    """The waiting files, oldest first. An absent folder is an empty one."""
    return [spool_dir / name for name in _names(spool_dir) if name.endswith(".json") and not name.startswith(".")]


def flush(spool_dir: Path, submit: Callable[[dict[str, Any]], object], *, stop_after_s: float | None = None) -> FlushReport:
    """Delivers the waiting completions, oldest first. Any number of flushers may run at once; none takes what another holds.

    An error of `submit` decides: InvalidCompletion sets the file aside and goes on; any other WakeError (StoreUnavailable, InboxFull,
    ConfigError) ends the flush, and every file stays; an unforeseen exception leaves that one file where it is and goes on.
    No file but the first is begun after `stop_after_s`: each flush gets on, on the slowest machine. Raises OSError when the folder cannot
    be read.
    """
    started = time.monotonic()
    ends: list[_End] = []
    trouble: str | None = None
    for place, path in enumerate([*_abandoned(spool_dir), *pending(spool_dir)]):
        if place and stop_after_s is not None and time.monotonic() - started >= stop_after_s:
            trouble = f"{stop_after_s:g} s were over"
            break
        try:
            ends.append(_deliver(path, submit))
        except WakeError as error:
            trouble = str(error)
            break
        except Exception as error:  # noqa: BLE001  one completion that trips over a bug must not hold up those behind it
            trouble = f"{path}: {type(error).__name__}: {error}"
    return FlushReport(sent=ends.count(_End.SENT), left=len(pending(spool_dir)), bad=ends.count(_End.BAD), trouble=trouble)


def _deliver(path: Path, submit: Callable[[dict[str, Any]], object]) -> _End:
    with _claim(path) as content:
        if content is None:
            return _End.NOT_OURS
        try:
            submit(_parse(content))
        except (InvalidCompletion, _Unreadable) as error:
            _move_aside(path, str(error))
            return _End.BAD
        path.unlink()
        return _End.SENT


@contextmanager
def _claim(path: Path) -> Iterator[bytes | None]:
    """The content of a file that is ours until the end of the block, or None when it is somebody else's or gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield None
        return
    with open(fd, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Whoever held the lock before us may have removed the file, or set it aside, between our open and our lock.
        yield file.read() if _still_there(path, file.fileno()) else None


def _still_there(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _parse(content: bytes) -> dict[str, Any]:
    try:
        kwargs = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"not a JSON document: {error}") from None
    if not isinstance(kwargs, dict) or not isinstance(kwargs.get("completion_id"), str):
        raise _Unreadable("not an object with a completion_id")
    return kwargs


def _content(kwargs: dict[str, Any]) -> bytes:
    if not isinstance(kwargs.get("completion_id"), str):
        raise ValueError("a spooled completion needs its completion_id: without it a second delivery could not be told from a new one")
    return json.dumps(kwargs).encode()  # ASCII, so a lone surrogate survives to be refused with its reason


def _place(folder: Path, content: bytes, max_files: int, reason: str | None = None) -> Path:
    """A new file in the folder; its reason, if it has one, is there first."""
    # Many writers at once may go past it by their number: it keeps a disk from filling up, and is no promise to the file.
    if len(pending(folder)) >= max_files:
        raise OSError(errno.EDQUOT, f"{max_files} completions are kept there already, the bound [bounds] max_spool", str(folder))
    _make_private(folder)
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    temporary, path = folder / f".{name}.tmp", folder / f"{name}.json"
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if reason is not None:
            path.with_suffix(".reason").write_text(reason + "\n", "utf-8")
        temporary.rename(path)
    except BaseException:
        for unfinished in (temporary, path.with_suffix(".reason")):
            with suppress(OSError):
                unfinished.unlink()
        raise
    _sync_folder(folder)
    return path


def _make_private(folder: Path) -> None:
    """Makes the folder and its missing parents, readable by the owner only, and lasting."""
    if not folder.is_dir():
        if folder != folder.parent:
            _make_private(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _move_aside(path: Path, reason: str) -> None:
    """Moves a file into `bad/`; the reason is there first, so that no file lies there without one."""
    folder = path.parent / BAD
    name = path.name.removeprefix(".").removesuffix(".tmp").removesuffix(".json")
    _make_private(folder)
    (folder / f"{name}.reason").write_text(reason + "\n", "utf-8")
    path.rename(folder / f"{name}.json")
    _sync_folder(folder)


def _names(spool_dir: Path) -> list[str]:
    try:
        return sorted(os.listdir(spool_dir))
    except FileNotFoundError:
        return []


def _abandoned(spool_dir: Path) -> list[Path]:
    """Temporary files whose writer died before the rename. A whole one is delivered, a torn one ends in `bad/`."""
    found = []
    for path in (spool_dir / name for name in _names(spool_dir) if name.startswith(".") and name.endswith(".tmp")):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE_WRITE_S:
                found.append(path)
    return found
