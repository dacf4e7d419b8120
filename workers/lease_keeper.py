"""The lease keeper: renews every lease of this process, and raises `lost` before a lease can be somebody else's.

It runs in the process that runs the heartbeats, never in a parent that could renew for a dead child. One thread renews; a second one only
watches the clock, so that a renewal that hangs cannot delay the loss of trust.
"""

from __future__ import annotations

import logging
import threading
import time
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from dispatcher.core.errors import WakeError
from dispatcher.core.models import Lease
from dispatcher.store.caps import Caps
from dispatcher.store.mailbox import Mailbox
from dispatcher.store.scripts import FAILED
from workers.runners import Control

log = logging.getLogger(__name__)
RETRY_S = 0.5
IDLE_S = 60.0
RENEWED = ("RENEWED", "CANCEL", "CANCEL_RETRY")


@dataclass
class Held:
    """One running batch. `trusted_until` is monotonic: until then nobody else can have the lease. `context`: for what is said about it."""

    lease: Lease
    batch_id: str
    control: Control
    trusted_until: float
    shrunk_until: float = float("inf")
    context: Context = field(default_factory=copy_context)
    capped: bool = False

    def trust_ends(self) -> float:
        return min(self.trusted_until, self.shrunk_until)


class LeaseKeeper:
    """`hold` a lease once its batch has begun, `drop` it when the batch has ended. `start`/`stop` tolerate twice."""

    def __init__(self, mailbox: Mailbox, ttl_ms: int, renew_ms: int, margin_ms: int, shrink_ms: int, caps: Caps | None = None) -> None:
        self._mailbox, self._caps = mailbox, caps
        self._trust_s = (ttl_ms - margin_ms) / 1000
        self._renew_s, self._shrink_s = renew_ms / 1000, shrink_ms / 1000
        self._held: dict[tuple[str, int], Held] = {}
        self._changed = threading.Condition()
        self._now = threading.Event()
        self._stopped = threading.Event()
        self._looks_at = 0.0  # when the second thread looks at the clock next, monotonic
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        if not self._threads:
            self._stopped.clear()
            self._threads = [
                threading.Thread(target=target, name=name, daemon=True)
                for target, name in ((self._renew_loop, "lease-keeper"), (self._trust_loop, "lease-trust"))
            ]
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._now.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(2)
        self._threads = []

    def trust_from(self, attempt_started: float) -> float:
        """Until when a lease that was granted by a call started at `attempt_started` is trusted. Both monotonic."""
        # From before the call: a slow reply must not stretch our trust.
        return attempt_started + self._trust_s

    def hold(self, lease: Lease, batch_id: str, control: Control, attempt_started: float, *, capped: bool = False) -> Held:
        """`capped`: it has a place among the running ones, which is kept as well."""
        held = Held(lease, batch_id, control, self.trust_from(attempt_started), capped=capped)
        with self._changed:
            self._held[lease.agent_id, lease.token] = held
            if held.trust_ends() < self._looks_at:  # leases end in the order in which they began: hardly ever
                self._changed.notify_all()
        return held

    def drop(self, held: Held) -> None:
        with self._changed:
            self._held.pop((held.lease.agent_id, held.lease.token), None)

    def presence_lost(self, lost_at: float, server_down: bool) -> None:
        """The early reclaim needs this long at least; nobody can reclaim on a server that is down, or has just come up."""
        with self._changed:
            for held in self._held.values():
                held.shrunk_until = float("inf") if server_down else lost_at + self._shrink_s
            self._changed.notify_all()

    def renew_now(self) -> None:
        """After a lost presence a renewal tells apart a holder that is there from one that is gone; and it hears what was cancelled."""
        self._now.set()

    def run_once(self) -> None:
        """One renewal of everything held, in one round trip. What cannot be reached stays trusted until its time is up."""
        with self._changed:
            batch = list(self._held.values())
        if not batch:
            return
        started = time.monotonic()
        statuses = self._mailbox.renew_all([(held.lease, held.batch_id) for held in batch])
        for held, status in zip(batch, statuses, strict=True):
            if status in RENEWED:
                held.trusted_until, held.shrunk_until = self.trust_from(started), float("inf")
                held.control.renewed(int((held.trusted_until - time.monotonic()) * 1000))
                if status != "RENEWED":
                    self._cancel(held, to_retry=status == "CANCEL_RETRY")
            elif status == FAILED:
                held.context.run(log.error, "this lease cannot be renewed: the agent's data is unsound; see `wake doctor`")
            else:
                self._lose(held, status)
        if self._caps and (places := [(held.lease.agent_id, held.lease.pool) for held in batch if held.capped]):
            self._caps.keep_all(places)

    def _lose(self, held: Held, why: str) -> None:
        with self._changed:
            still = self._held.pop((held.lease.agent_id, held.lease.token), None)
        if still is not None:
            held.context.run(log.warning, "lease lost: %s", why)
            held.control.lost.set()

    def _cancel(self, held: Held, *, to_retry: bool) -> None:
        if not held.control.cancel.is_set():
            held.context.run(log.info, "cancelled by an operator: the runner is told to end")
            held.control.cancel_for(to_retry=to_retry)

    def _renew_loop(self) -> None:
        pause_s = self._renew_s
        while not self._stopped.is_set():
            self._now.wait(pause_s)
            self._now.clear()
            try:
                self.run_once()
                pause_s = self._renew_s
            except WakeError as error:
                log.warning("renew: %s", error)
                pause_s = RETRY_S
            except Exception:  # if this thread ended, no lease of this process would ever be renewed again
                log.exception("renewal failed; trying again")
                pause_s = RETRY_S

    def _trust_loop(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                first = min(self._held.values(), key=Held.trust_ends, default=None)
                left_s = first.trust_ends() - time.monotonic() if first else IDLE_S
                if left_s > 0:
                    self._looks_at = time.monotonic() + min(left_s, IDLE_S)
                    self._changed.wait(min(left_s, IDLE_S))
                    continue
            if first is not None:
                self._lose(first, "not renewed in time")
