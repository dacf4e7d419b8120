"""What an earlier attempt left on this host when its worker and its reaper were both killed: belt and braces."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
LOOK_AGAIN_S = 0.01


def kill_leftovers(batch_id: str, *, token: int | None = None, within_s: float = 10.0) -> int:
    """Kills the process groups that run an earlier attempt of this batch here, and waits until they are gone, at most `within_s`.

    Found by `WAKE_BATCH_ID` in the environment that a process started with (Linux; elsewhere nothing is found), so processes that left the
    group are found too, and processes that overwrote their environment or belong to another user are not. Those started under `token` are
    spared. Returns how many processes were found. Call it before attempt 2 or later, under the lease.
    """
    deadline = time.monotonic() + within_s
    found: set[int] = set()
    while alive := set(_processes_of(batch_id, token)):
        found |= alive
        for pid in alive:
            _kill_with_group(pid)
        if time.monotonic() >= deadline:
            break
        time.sleep(LOOK_AGAIN_S)
    return len(found)


def _processes_of(batch_id: str, token: int | None) -> Iterator[int]:
    wanted = f"WAKE_BATCH_ID={batch_id}".encode()
    spared = f"WAKE_TOKEN={token}".encode()
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")  # empty for a zombie: gone enough
        except OSError:
            continue
        if wanted in environment and spared not in environment:
            yield int(entry.name)


def _kill_with_group(pid: int) -> None:
    try:
        pgid = os.getpgid(pid)
        if pgid == os.getpgid(0):  # ours: this worker was itself started by a heartbeat
            os.kill(pid, signal.SIGKILL)
        else:
            os.killpg(pgid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
