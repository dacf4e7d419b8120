"""The wish of an operator that every process reads its configuration again, and what each of them answered."""

from __future__ import annotations

import json
from typing import Any

from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys


class Reloads:
    """A counter that processes compare with the last one they saw: nobody is sent anything, so nobody can miss it."""

    def __init__(self, client: Any, keys: Keys) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._wanted, self._answers = client, keys.inbox["reload"], keys.inbox["reloads"]

    def ask(self) -> int:
        """A new wish; the answers to older ones are forgotten. Returns its number."""
        with unavailable("reload"):
            pipe = self._client.pipeline()
            pipe.delete(self._answers)
            pipe.incr(self._wanted)
            return int(pipe.execute()[1])

    def wanted(self) -> int:
        """The number of the newest wish; 0 when there never was one."""
        with unavailable("read the reload counter"):
            return int(self._client.get(self._wanted) or 0)

    def answer(self, holder: str, number: int, problems: list[str], restart: list[str]) -> None:
        """What came of it in this process: problems mean that its old configuration is still in force."""
        with unavailable("answer a reload"):
            self._client.hset(self._answers, holder, json.dumps({"number": number, "problems": problems, "restart": restart}))

    def answers(self, number: int) -> dict[str, dict[str, Any]]:
        """Holder -> answer to this wish, so far."""
        with unavailable("read the answers to a reload"):
            found = {holder: json.loads(raw) for holder, raw in self._client.hgetall(self._answers).items()}
        return {holder: answer for holder, answer in sorted(found.items()) if answer["number"] >= number}
