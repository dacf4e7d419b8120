"""The books as a metric: read now and then, and a difference is told only when it stays."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 60.0
SUSPICIOUS_S = 1.0


class BalanceWatch:
    """Parts of the books are not read at one moment, so that one difference proves nothing."""

    def __init__(self, read: Callable[[], int | None], every_s: float = EVERY_S, suspicious_s: float = SUSPICIOUS_S) -> None:
        self._read, self._every_s, self._suspicious_s = read, every_s, suspicious_s
        self._told: int | None = None
        self._before: int | None = None
        self._next_at = 0.0

    def read(self) -> int | None:
        """The difference that two readings agree on, 0 when there is none; None while that is not known. Raises StoreUnavailable."""
        now = time.monotonic()
        if now >= self._next_at:
            found = self._read()
            if found in (0, None, self._before):
                self._told = found
            self._before = found
            self._next_at = now + (self._suspicious_s if found != self._told else self._every_s)
        return self._told
