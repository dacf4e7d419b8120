"""Folders, socket path and locks of the embedded server."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

from dispatcher.core.errors import EmbeddedServerError

MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS, 108 on Linux, the closing NUL included
SOCKET_NAME = "server.sock"


def socket_path(data_dir: Path) -> Path:
    """Where the server of this folder shall listen. Creates the folder of the socket."""
    path = planned_socket(data_dir)
    _private_folder(path.parent)
    return path


def planned_socket(data_dir: Path) -> Path:
    """As `socket_path`, creating nothing: in `run/` of the folder, or in a short folder under the temporary one."""
    folder = data_dir / "run"
    if _too_long(folder):
        name = f"wake-{os.getuid()}-{hashlib.blake2b(os.fsencode(data_dir), digest_size=6).hexdigest()}"
        folder = Path(tempfile.gettempdir()) / name
        if _too_long(folder):  # TMPDIR itself is deep
            folder = Path("/tmp") / name
    return folder / SOCKET_NAME


def _too_long(folder: Path) -> bool:
    return len(os.fsencode(folder / SOCKET_NAME)) > MAX_SOCKET_PATH_BYTES


def _private_folder(folder: Path) -> None:
    """Creates it for its owner only. One that exists must be this user's real folder: in /tmp, another may have been first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EmbeddedServerError(f"embedded server: {folder} is not a folder of this user; remove it or choose another [redis] data_dir")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def take_lock(path: Path, otherwise: str = "") -> IO[bytes]:
    """Held until it is closed, and by whoever inherits it. Raises EmbeddedServerError, which says `otherwise`, when somebody has it."""
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        owned = f"embedded server: another `wake up` already runs on {path.parent}; stop it first, or choose another [redis] data_dir"
        raise EmbeddedServerError(otherwise or owned) from None
    return lock
