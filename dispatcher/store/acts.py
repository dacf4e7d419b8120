"""What operators did: one bounded list of receipts, whatever they did it to."""

from __future__ import annotations

from typing import Any, NamedTuple

from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits


class Act(NamedTuple):
    """`by` did `what` to `selector` (an agent, a pattern, a pool); `about` is what it was done with: a wake's id, a batch, until when."""

    at_ms: int
    what: str
    selector: str
    by: str
    reason: str
    about: str


class Acts:
    """Receipts of operators. Written before the act itself: one that then failed stands here as well, none is missing."""

    def __init__(self, client: Any, keys: Keys, limits: StoreLimits) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self._client, self._key, self._max = client, keys.inbox["acts"], limits.ledger_max

    def note(self, what: str, selector: str, by: str, reason: str = "", about: str = "") -> None:
        """Raises StoreUnavailable; then the act must not be done."""
        fields = {"what": what, "selector": selector, "by": by, "reason": reason, "about": about}
        with unavailable(f"note the receipt of {what} {selector}"):
            self._client.xadd(self._key, fields, maxlen=self._max, approximate=True)

    def newest(self, count: int) -> list[Act]:
        """The newest receipts, the newest first. Their time is the server's."""
        with unavailable("list acts"):
            found = self._client.xrevrange(self._key, count=count)
        return [Act(int(entry.partition("-")[0]), f["what"], f["selector"], f["by"], f["reason"], f["about"]) for entry, f in found]
