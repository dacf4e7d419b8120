"""The way from a request to the store: blocking calls in a bounded number of threads, so that the event loop never waits for the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dispatcher.app import current_store
from dispatcher.http.problems import overloaded
from dispatcher.store.layout import check_layout
from dispatcher.store.opened import Store

T = TypeVar("T")


class StoreCalls:
    """`threads` calls run at a time, `max_queued` more wait for one of them, and what comes on top is refused."""

    def __init__(self, threads: int, max_queued: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store-call")
        self._free = threads + max_queued
        self._checked: Store | None = None

    async def run(self, call: Callable[[Store], T]) -> T:
        """What the call returns or raises; before its first use a store's layout is checked. Raises Refused when too much waits."""
        if self._free <= 0:
            raise overloaded("all threads are busy and enough requests wait for one; try again")
        self._free -= 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(self._store()))
        except BaseException:
            self._free += 1
            raise
        # Counted until the thread is free, which it may not be when the client has gone.
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, ended: asyncio.Future[T]) -> None:
        self._free += 1
        if not ended.cancelled():
            ended.exception()  # looked at: a client that has gone does not ask

    def _store(self) -> Store:
        store = current_store()
        if self._checked is not store:
            check_layout(store.client, store.keys)
            self._checked = store
        return store
