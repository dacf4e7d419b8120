"""A producer in a process of its own, which reports completions as a gateway does: `exec_completed.delay(…)`.

`python -m tests.support.producer` reads one JSON object of keywords a line and answers one: the receipt, or the error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tests.support.hosts import Host, in_host
from tests.support.sources import ROOT

Answer = dict[str, Any]


class Producer:
    """The handle. Its words are answered in order."""

    def __init__(self, env: dict[str, str], host: Host | None = None) -> None:
        self._process = subprocess.Popen(
            in_host(host, [sys.executable, "-P", "-m", "tests.support.producer"]),
            env=os.environ | env | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def delay(self, **words: Any) -> Answer:
        return self.delay_all([words])[0]

    def delay_all(self, completions: Iterable[dict[str, Any]]) -> list[Answer]:
        """As fast as one process can. The pipe to it must not fill up while nobody reads the answers, hence the pages."""
        waiting = list(completions)
        return [answer for i in range(0, len(waiting), 100) for answer in self._page(waiting[i : i + 100])]

    def fate(self, completion_id: str, timeout_s: float) -> Answer:
        """What `.get(timeout=…)` says."""
        return self._page([{"get": completion_id, "timeout": timeout_s}])[0]

    def _page(self, lines: Sequence[dict[str, Any]]) -> list[Answer]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
        self._process.stdin.flush()
        return [json.loads(self._process.stdout.readline()) for _ in lines]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def answer(words: dict[str, Any]) -> Answer:
    from dispatcher import CompletionResult, exec_completed
    from dispatcher.app import app

    try:
        if "get" in words:
            return {"fate": str(CompletionResult(words["get"], app).get(timeout=words["timeout"]))}
        result = exec_completed.delay(**words)
    except Exception as error:  # noqa: BLE001  the test wants to see every error
        return {"error": type(error).__name__, "message": str(error)}
    assert result.receipt
    receipt: Answer = result.receipt.model_dump()
    return receipt


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
