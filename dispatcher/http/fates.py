"""Where a completion is, and waiting for its end: any number of requests wait on one look at the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from dispatcher.core.errors import WakeError
from dispatcher.http.problems import overloaded
from dispatcher.http.store_calls import StoreCalls
from dispatcher.http.values import FateAnswer
from dispatcher.result import FINAL
from dispatcher.store.ledger import Whereabouts

log = logging.getLogger(__name__)
LOOK_S = 0.25


def shown(where: Whereabouts) -> FateAnswer:
    return FateAnswer(
        completion_id=where.completion_id,
        fate=where.fate,
        final=where.fate in FINAL,
        agent_id=where.agent_id,
        via=where.via,
        accepted_at_ms=where.accepted_at_ms,
        at_ms=where.at_ms,
        detail=where.detail,
    )


class Waiting:
    """One task looks for everybody, four times a second while anybody waits: four round trips, however many wait."""

    def __init__(self, calls: StoreCalls, limit: int, leaving: Callable[[], bool]) -> None:
        self._calls, self._limit, self._leaving = calls, limit, leaving
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._count = 0
        self._looking: asyncio.Task[None] | None = None

    async def until_final(self, completion_id: str, timeout_s: float) -> None:
        """Returns when it has a final fate, is forgotten, the time is over, or the ingress stops. Raises Refused when too many wait."""
        if self._count >= self._limit:
            raise overloaded("enough requests wait already; ask again without wait")
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(completion_id, set()).add(ended)
        self._count += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait([ended], timeout=timeout_s)
        finally:
            self._count -= 1
            others = self._waiting.get(completion_id, set())
            others.discard(ended)
            if not others:
                self._waiting.pop(completion_id, None)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_S)
            over = await self._over(list(self._waiting))
            for completion_id in list(self._waiting) if self._leaving() else over:
                for future in self._waiting.pop(completion_id, set()):
                    if not future.done():
                        future.set_result(None)

    async def _over(self, ids: Sequence[str]) -> set[str]:
        """Which need no further look. None while the server is away, or all threads are busy: each request has a time of its own."""
        try:
            found = await self._calls.run(lambda store: store.ledger.where_all(ids))
        except WakeError as error:
            log.debug("http: %s", error)
            return set()
        return {i for i, where in zip(ids, found, strict=True) if where is None or where.fate in FINAL}
