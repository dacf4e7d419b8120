"""The way through the inbox: page after page until it is empty, and for as long as somebody stays for more."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from dispatcher.core.errors import StoreUnavailable
from dispatcher.store.entries import Claimed
from dispatcher.store.inbox import Inbox

log = logging.getLogger(__name__)
GATHER_S = 0.01  # what came just after others waits for so long at most, so that more of them share a page
CLAIM_S = 0.5  # what another router left lying is found by a claim only
LOOK_MS = 100  # between two looks of one who stays at whether this process is to end
Routed = TypeVar("Routed")


class Turn:
    """One thread of a process drains at a time, and nobody waits for it: whoever comes meanwhile leaves word.

    Hints pile up while routers are away. Were each of them to wait for a stay, they would keep all threads from raw completions.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = self._asked = False

    def begin(self) -> bool:
        """Whether it is the caller's turn now. If not, whoever has it learns at its end that somebody came."""
        with self._lock:
            self._asked = self._taken
            mine, self._taken = not self._taken, True
            return mine

    def end(self) -> bool:
        """Whether the turn is over. If not, somebody came since it began, or since this was asked last: there may be more to do."""
        with self._lock:
            self._taken, self._asked = self._asked, False
            return not self._taken

    def give_up(self) -> None:
        """The turn is over, whoever came; after an error."""
        with self._lock:
            self._taken = self._asked = False


class Drain(Generic[Routed]):
    """What one router does with its inbox. `own`: the owners of a page; `deliver`: what was owned goes to its mailboxes, and is counted."""

    def __init__(
        self,
        inbox: Inbox,
        own: Callable[[Claimed, Counter[str]], Sequence[Routed]],
        deliver: Callable[[Sequence[Routed], Counter[str]], None],
        longest_wait_ms: int,
    ) -> None:
        self._inbox, self._own, self._deliver = inbox, own, deliver
        self._wait_ms = min(LOOK_MS, longest_wait_ms)
        # Called after each page, of which there may be very many, and each claim of nothing.
        self.on_page: Callable[[], object] = lambda: None
        self.leaving: Callable[[], bool] = lambda: False  # whether this process is to end: then it ends with its page

    def run(self, consumer: str, limit: int, stay_s: float) -> dict[str, int]:
        """`limit` entries at a time, and for `stay_s` in all what comes meanwhile. What was done, by word."""
        refused, delivered = Counter[str](), Counter[str]()
        until = time.monotonic() + stay_s
        before: Future[None] | None = None
        came: Claimed | None = None
        with ThreadPoolExecutor(1, "deliver") as behind:
            while True:
                stay_ms = 0 if self.leaving() else _left_ms(until)
                claimed = came or self._inbox.claim(consumer, limit, stay_ms=stay_ms)
                owned = self._own(claimed, refused)
                if before:
                    before.result()
                # The owners of the next page are found while the server takes this one; one after the other all the same.
                before = behind.submit(self._deliver, owned, delivered) if stay_ms and len(owned) > 1 else None
                if not before:
                    self._deliver(owned, delivered)
                self.on_page()
                full = len(claimed.entries) >= limit
                if not (came or stay_ms) and (not full or self.leaving()):
                    return dict(delivered + refused)
                came = None if full else self._wait(consumer, limit, until, len(claimed.entries))

    def _wait(self, consumer: str, limit: int, until: float, taken: int) -> Claimed | None:
        """Until it is worth while to claim again, or what came meanwhile."""
        if taken > 1:
            time.sleep(GATHER_S)
            return None
        until = min(until, time.monotonic() + CLAIM_S)
        while (left_ms := _left_ms(until)) > 0 and not self.leaving():
            try:
                came = self._inbox.wait(consumer, limit, min(left_ms, self._wait_ms))
            except StoreUnavailable as error:  # what a claim says then is for the caller
                log.warning("route: %s; claiming again", error)
                return None
            if came is None or came.entries:
                return came
        return None


def _left_ms(until: float) -> int:
    return max(0, int((until - time.monotonic()) * 1000))
