"""What a runner is: one call, one heartbeat, one answer.

A runner waits for two things at once: its work, and a reason to give up. `Control` holds the reasons and wakes a waiting runner the moment
one appears; it polls nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, ParamSpec, Protocol

from dispatcher.core.models import Failed, HeartbeatRequest, Outcome
from dispatcher.core.trace_context import trace_context
from workers.runners.deadlines import deadlines

P = ParamSpec("P")
TRACE_BYTES = 8192
ERROR_CHARS = 300  # of the words for what went wrong
NOTE_CHARS = 4096  # of what a turn says of itself
LEASE_LOST = "lease lost"


class Why(StrEnum):
    """Why a heartbeat must end before its work did, strongest first."""

    LOST = "lost"  # another holder may run this agent already: end now, without grace
    CANCEL = "cancel"  # an operator's word: the batch is set aside, or runs again
    TIMEOUT = "timeout"
    STOP = "stop"  # the worker leaves and hands the batch back


@dataclass(frozen=True)
class Cancelled:
    """The turn was broken off, by an operator (reason `cancel`) or because the worker leaves (`stop`): the caller sees to its batch."""

    reason: str
    note: str = ""

    @property
    def kind(self) -> str:
        """The word for it beside those of the outcomes."""
        return "cancelled" if self.reason == Why.CANCEL else "handed-back"


RunResult = Outcome | Cancelled


def broken_off(why: Why, note: str = "") -> RunResult:
    """The answer of a heartbeat that had to end before its work did; `note` is what it had said by then."""
    match why:
        case Why.LOST:
            return Failed(error=LEASE_LOST, note=note)
        case Why.TIMEOUT:
            return Failed(error="timeout", note=note)
        case Why.CANCEL | Why.STOP:
            return Cancelled(reason=why.value, note=note)


def trace_headers(trace: Mapping[str, str] | None) -> dict[str, str]:
    """`traceparent` and `tracestate` as W3C has them, of the request's context; what is malformed is left out."""
    return trace_context(trace or {}) or {}


class Runner(Protocol):
    """Runs one heartbeat. Everything that can go wrong in the turn is a `RunResult`; an exception is a bug."""

    def run(self, request: HeartbeatRequest, control: Control) -> RunResult: ...


class Listeners(Generic[P]):
    """Callbacks, called under a lock: once `listening` was left, none of its calls is running or will come."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant: a signal handler may set a Signal while this thread subscribes
        self._callbacks: list[Callable[P, object]] = []

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        with self._lock:
            for callback in tuple(self._callbacks):
                callback(*args, **kwargs)

    @contextmanager
    def listening(self, callback: Callable[P, object]) -> Iterator[None]:
        with self._lock:
            self._callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


class Signal(threading.Event):
    """An event that also wakes those who cannot wait on an event, because they wait in a selector."""

    def __init__(self) -> None:
        super().__init__()
        self._listeners: Listeners[[]] = Listeners()

    def set(self) -> None:
        super().set()
        self._listeners.call()

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """`callback` is called at each `set()`, by the thread that sets, and at once when already set. It must not block."""
        with self._listeners.listening(callback):
            if self.is_set():
                callback()
            yield


class Control:
    """The reasons of one heartbeat to end early. `time_limit_s` counts from now.

    The lease keeper sets `lost`, calls `renewed` after each renewal, and `cancel_for` when an operator wants the heartbeat to end; the
    worker sets `stop`, usually one signal for all its heartbeats.
    `trust_ms` is how long the lease is trusted from now; without it the reaper guards against the death of the worker only, not against
    a worker that stands still.
    """

    def __init__(
        self,
        time_limit_s: float,
        *,
        lost: Signal | None = None,
        stop: Signal | None = None,
        cancel: Signal | None = None,
        trust_ms: int | None = None,
    ) -> None:
        self.time_limit_s = time_limit_s
        self.lost = lost or Signal()
        self.stop = stop or Signal()
        self.cancel = cancel or Signal()
        self.to_retry = False  # what `cancel` is for
        self._deadline = time.monotonic() + time_limit_s
        self._trusted_until = None if trust_ms is None else time.monotonic() + trust_ms / 1000
        self._renewals: Listeners[[int]] = Listeners()

    def remaining_s(self) -> float:
        """Seconds until the time limit, 0 when it has passed."""
        return max(0.0, self._deadline - time.monotonic())

    def why(self) -> Why | None:
        """The strongest reason to end now, None while there is none."""
        if self.lost.is_set():
            return Why.LOST
        if self.cancel.is_set():
            return Why.CANCEL
        if time.monotonic() >= self._deadline:
            return Why.TIMEOUT
        return Why.STOP if self.stop.is_set() else None

    def wait(self, timeout_s: float) -> Why | None:
        """Waits until there is a reason to end, at most `timeout_s`."""
        woken = threading.Event()
        with self.waking(woken.set):
            woken.wait(min(timeout_s, self.remaining_s()))
        return self.why()

    @contextmanager
    def waking(self, callback: Callable[[], object]) -> Iterator[None]:
        """`callback` is called when `lost`, `cancel` or `stop` is set. It must not block. The time limit calls nobody (`remaining_s`)."""
        with self.lost.calling(callback), self.cancel.calling(callback), self.stop.calling(callback):
            yield

    @contextmanager
    def ending(self, callback: Callable[[], object]) -> Iterator[None]:
        """As `waking`, and `callback` is called at the time limit too."""
        with deadlines.calling_at(self._deadline, callback), self.waking(callback):
            yield

    def cancel_for(self, *, to_retry: bool) -> None:
        """An operator wants it to end: its batch runs again, or becomes dead letters."""
        self.to_retry = to_retry
        self.cancel.set()

    def trust_left_ms(self) -> int | None:
        """How long the lease is still trusted; negative when it no longer is, None when nobody said."""
        return None if self._trusted_until is None else int((self._trusted_until - time.monotonic()) * 1000)

    def renewed(self, trust_ms: int) -> None:
        """The lease is trusted for `trust_ms` from now. Called by the lease keeper, with what is left after the renewal's own duration."""
        self._trusted_until = time.monotonic() + trust_ms / 1000
        self._renewals.call(trust_ms)

    @contextmanager
    def renewing(self, callback: Callable[[int], object]) -> Iterator[None]:
        """`callback` is told the trust that is left, in ms: now, if there is a bound, and at each renewal."""
        with self._renewals.listening(callback):
            if (trust_ms := self.trust_left_ms()) is not None:
                callback(trust_ms)
            yield
