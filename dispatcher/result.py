"""What `.delay()` hands back: the fate of one completion, asked from the store. No result backend is involved."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from celery import Celery, states
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult

from dispatcher.app import current_store
from dispatcher.core.errors import NotSettled, UnknownCompletion
from dispatcher.core.models import Fate, Receipt
from dispatcher.store.ledger import Whereabouts

FINAL = frozenset({Fate.SETTLED, Fate.SUPPRESSED, Fate.DEAD, Fate.DROPPED})
_STATES = {
    Fate.RUNNING: states.STARTED,
    Fate.SETTLED: states.SUCCESS,
    Fate.SUPPRESSED: states.SUCCESS,
    Fate.DEAD: states.FAILURE,
    Fate.DROPPED: states.FAILURE,
}
FIRST_POLL_S, LAST_POLL_S = 0.02, 0.5


class CompletionResult(AsyncResult):
    """One accepted completion. `id` is its completion id, `receipt` the answer to its submit (None when built from an id)."""

    def __init__(self, completion_id: str, app: Celery, receipt: Receipt | None = None) -> None:
        # Celery's part waits until somebody asks for it. It takes as long as the rest of a call in a batch, and of thousands of results
        # that are kept, the interpreter's collector looks at each part again and again.
        self.id, self.app, self.receipt = completion_id, app, receipt

    _cache, _ignored = None, False

    @cached_property
    def backend(self) -> Any:
        return self.app.backend

    @cached_property
    def on_ready(self) -> Any:
        super().__init__(self.id, app=self.app)
        return self.__dict__["on_ready"]

    def __del__(self) -> None:
        if "on_ready" in self.__dict__:  # else it stands on no list of the backend, from which this would take it
            super().__del__()

    def whereabouts(self) -> Whereabouts:
        """Fate, agent, batch and times. Raises UnknownCompletion for an id that was never accepted or is forgotten, StoreUnavailable."""
        found = current_store().ledger.where(self.id)
        if found is None:
            raise UnknownCompletion(f"look up completion={self.id}: never accepted here, or forgotten after its retention; check the id")
        return found

    def fate(self) -> Fate:
        """Where the completion is now. Raises as `whereabouts`."""
        return self.whereabouts().fate

    def get(self, timeout: float | None = None, propagate: bool = True, interval: float | None = None, **_: Any) -> Fate:
        """Waits until the completion is settled or suppressed, `timeout` seconds at most, and returns that fate.

        `dead` and `dropped` raise NotSettled with the reason, or are returned with `propagate=False`. Raises celery's TimeoutError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s = interval or FIRST_POLL_S
        while True:
            found = self.whereabouts()
            if found.fate in FINAL:
                if propagate and found.fate in (Fate.DEAD, Fate.DROPPED):
                    raise NotSettled(
                        f"completion={self.id} is {found.fate} ({found.detail or 'no reason kept'}); see `wake dead show {self.id}`"
                    )
                return found.fate
            if deadline is not None and time.monotonic() + pause_s > deadline:
                raise CeleryTimeoutError(f"completion={self.id} is {found.fate} after {timeout} s; `wake trace {self.id}` tells more")
            time.sleep(pause_s)
            pause_s = interval or min(pause_s * 1.5, LAST_POLL_S)

    wait = get

    @property
    def state(self) -> str:
        """The fate in Celery's words: PENDING, STARTED, SUCCESS or FAILURE."""
        return str(_STATES.get(self.fate(), states.PENDING))

    status = state

    @property
    def result(self) -> Fate:
        return self.fate()

    def forget(self) -> None:
        """Nothing to forget: the ledger keeps its own time."""
