"""The pulse of a router or worker: a small file that its own loop writes while it goes round, server or no server.

Lets a probe on the same machine tell a process that lives from one that hangs, without asking the server. Times are monotonic: the same
clock for all processes of a machine, and no adjustment of the wall clock makes one look dead.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dispatcher.names import Holder, holder_of

FOLDER = "alive"
EVERY_S = 1.0


@dataclass(frozen=True)
class Beat:
    """One process of this host as its file tells. `age_s` is the time since its loop came round."""

    name: str
    holder: Holder
    age_s: float


class Pulse:
    """Writes the file of one process. A folder that cannot be written costs the probe, never the work."""

    def __init__(self, data_dir: Path, holder: str) -> None:
        self._path = data_dir / FOLDER / f"{holder}.json"
        self._next_s = 0.0
        self._writing = threading.Lock()

    def beat(self) -> None:
        """Cheap: writes at most once a second. Safe for threads."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        fresh = self._path.with_suffix(".new")
        with self._writing, suppress(OSError):
            self._next_s = now_s + EVERY_S
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_text(json.dumps({"at_s": now_s, "started": _started(os.getpid())}), encoding="ascii")
            fresh.replace(self._path)  # a reader sees no half of it

    def stop(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def beats(data_dir: Path, host: str) -> list[Beat]:
    """The processes of this host that live, hanging ones too. Files of processes that are gone are removed."""
    found = []
    for path in sorted((data_dir / FOLDER).glob("*.json")):
        holder = holder_of(path.stem)
        if holder is None or holder.host != host:
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):  # removed meanwhile, or no file of ours
            written = json.loads(path.read_text(encoding="ascii"))
            if not _lives(holder.pid, str(written["started"])):
                path.unlink(missing_ok=True)
                continue
            found.append(Beat(path.stem, holder, max(0.0, time.monotonic() - float(written["at_s"]))))
    return found


def _lives(pid: int, started: str) -> bool:
    """Whether it is still that process: after a restart of a container another one has the same number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return _started(pid) == started


def _started(pid: int) -> str:
    """When the process started, in the kernel's words; empty where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
