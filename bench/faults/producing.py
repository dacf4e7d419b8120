"""`python -m bench.faults.producing FILE PREFIX COUNT PER_SECOND AGENT…`: reports completions until each has its receipt.

What has one stands in FILE. A process that was killed is started again with the same words: what it was about to note is reported twice,
under the same id.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

RETRY_S = 0.1


def completion_ids(prefix: str, count: int, agents: list[str]) -> list[str]:
    """The owner is the first part of an id."""
    return [f"{agents[n % len(agents)]}.{prefix}.{n:05d}" for n in range(count)]


def main() -> None:
    from dispatcher import exec_completed
    from dispatcher.core.errors import WakeError

    file, prefix, count, per_second, *agents = sys.argv[1:]
    path = Path(file)
    done = len(path.read_text().splitlines()) if path.exists() else 0
    log = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    begun = time.monotonic()
    for number, completion_id in enumerate(completion_ids(prefix, int(count), agents)[done:]):
        time.sleep(max(0.0, begun + number / float(per_second) - time.monotonic()))
        while True:
            try:
                exec_completed.delay(session_key=f"agent:{completion_id.partition('.')[0]}:main", completion_id=completion_id, exit_code=1)
                break
            except WakeError as error:
                print(error, file=sys.stderr)
                time.sleep(RETRY_S)
        os.write(log, f"{completion_id}\n".encode())


if __name__ == "__main__":
    main()
