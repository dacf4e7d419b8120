"""The reaper itself: a tiny process that outlives its worker by a moment, to kill what the worker left behind.

Started by `workers.reaper` as a file, isolated and without site-packages, so that it is up in milliseconds and small; hence the standard
library only. Its standard input is one end of a socket pair; the other end is held by the worker and by nobody else. Lines it reads:

    add PGID UNTIL      watch a process group; trusted until that reading of the monotonic clock, which all processes of a host share
    renew PGID UNTIL    a new bound; ignored for a group that is not watched, so that a late word revives nothing
    forget PGID         the group is no longer ours

`add` and `forget` are answered with one byte. A group is killed when its trust runs out, and all of them at the end of the input: then the
worker is dead, however it died.
"""

from __future__ import annotations

import os
import select
import signal
import time

INPUT = 0
DONE = b"+"
LONGEST_WAIT_S = 3600.0


def kill_group(pgid: int) -> None:
    """SIGKILL to a whole group. A group that is gone, or that changed its user, is left alone."""
    if pgid > 1:
        try:
            os.killpg(pgid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def obey(line: str, trusted_until: dict[int, float]) -> bytes:
    """Carries out one line; the answer is empty where none is expected."""
    word, pgid, *until = line.split()
    if word == "forget":
        trusted_until.pop(int(pgid), None)
        return DONE
    if word == "add" or int(pgid) in trusted_until:
        trusted_until[int(pgid)] = float(until[0])
    return DONE if word == "add" else b""


def kill_expired(trusted_until: dict[int, float], now: float) -> None:
    for pgid in [pgid for pgid, until in trusted_until.items() if until <= now]:
        kill_group(pgid)
        del trusted_until[pgid]


def reap(trusted_until: dict[int, float]) -> None:
    """Serves until the worker is gone."""
    unfinished = b""
    while True:
        next_expiry = min(trusted_until.values(), default=float("inf"))
        wait_s = min(max(0.0, next_expiry - time.monotonic()), LONGEST_WAIT_S)
        # The input is read before anything expires: a renewal or a farewell that is already here counts.
        if select.select([INPUT], [], [], wait_s)[0]:
            received = os.read(INPUT, 65536)
            if not received:
                return
            *lines, unfinished = (unfinished + received).split(b"\n")
            for line in lines:
                if answer := obey(line.decode(), trusted_until):
                    os.write(INPUT, answer)
        kill_expired(trusted_until, time.monotonic())


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    trusted_until: dict[int, float] = {}
    try:
        reap(trusted_until)
    except OSError:
        pass  # the worker died while we answered
    finally:
        for pgid in trusted_until:
            kill_group(pgid)


if __name__ == "__main__":
    main()
