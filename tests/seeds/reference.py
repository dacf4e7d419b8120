"""What one agent may do, in which order: a small pure model. Seeds, a state machine and recorded ledgers are all held against it.

It knows neither Redis nor time. A step that it does not allow raises `NotAllowed` with the reason in words.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class NotAllowed(AssertionError):
    """A step that the model does not allow."""


@dataclass
class Frozen:
    """One batch, from its begin to its end. `n` never changes."""

    n: int
    session: str
    attempt: int = 1
    token: int = 0  # under which it runs; 0 while it is parked


@dataclass
class Turns:
    """The leases and batches of one agent. At most one batch runs, under the newest token; each begins once and ends once."""

    token: int = 0
    running: str | None = None
    batches: dict[str, Frozen] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    def leased(self, token: int) -> None:
        """Somebody else, or nobody, held the agent until now."""
        self._need(token > self.token, f"token {token} is not newer than {self.token}")
        self._need(self.running is None, f"token {token} was given while {self.running} runs")
        self.token = token

    def under(self, token: int, what: str) -> None:
        """A step that takes effect does so under the newest token."""
        self._need(token == self.token, f"{what} under token {token}, and the newest is {self.token}")

    def begun(self, batch: str, token: int, n: int, session: str, attempt: int) -> None:
        """A new batch, or the next attempt of a parked one, which is unchanged."""
        self._need(self.running is None, f"{batch} begins while {self.running} runs")
        self._need(batch not in self.ended, f"{batch} begins after it has {self.ended.get(batch)}")
        self._need(token >= self.token, f"{batch} begins under token {token}, and {self.token} is newer")
        known = self.batches.get(batch)
        self._need(n > 0, f"{batch} begins with nothing")
        self._need(attempt == (known.attempt + 1 if known else 1), f"{batch}: attempt {attempt} follows {known.attempt if known else 0}")
        if known:
            self._need((known.n, known.session) == (n, session), f"{batch} was {known.n} of {known.session}, and is {n} of {session}")
        else:
            parked = [b for b, f in self.batches.items() if f.session == session]
            self._need(not parked, f"{batch} begins for {session}, which {parked} blocks")
        self.token, self.running = token, batch
        self.batches[batch] = Frozen(n, session, attempt, token)

    def closed(self, batch: str, token: int, how: str) -> None:
        """The running batch is done, dissolved or dead; or a parked one is dead."""
        self._need(batch in self.batches, f"{batch} has {how}, and never began, or {self.ended.get(batch, 'is unknown')}")
        self._need(how == "dead-lettered" or self.running == batch, f"{batch} has {how}, and {self.running} runs")
        self._need(token >= self.token and self.running in (None, batch), f"{batch} has {how} under {token}, newest {self.token}")
        if self.running == batch:
            self.under(token, f"{batch} has {how}")
        self.token, self.running = token, None
        del self.batches[batch]
        self.ended[batch] = how

    def parked(self, batch: str, token: int, how: str) -> None:
        """The running batch waits for its next attempt: it failed, or was handed back, or its target was busy."""
        self._need(self.running == batch, f"{batch} is parked ({how}), and {self.running} runs")
        self.under(token, f"{batch} is parked ({how})")
        self.running, self.batches[batch].token = None, 0

    def taken_over(self, batch: str, token: int) -> None:
        """The holder under `token` was gone; its batch is parked."""
        self._need(self.running == batch, f"{batch} is taken over, and {self.running} runs")
        self.under(token, f"{batch} is taken over from its holder")
        self.running, self.batches[batch].token = None, 0

    def counted(self, batch: str, n: int | None) -> None:
        """The end of a batch is about as many wakes as its begin."""
        known = self.batches.get(batch)
        self._need(n is None or known is None or known.n == n, f"{batch} began with {known.n if known else 0} wakes and ends with {n}")

    def idle(self, token: int, what: str) -> None:
        """What a holder does that runs no batch."""
        self._need(self.running is None, f"{what} under {token} while {self.running} runs")
        self._need(token >= self.token, f"{what} under token {token}, and {self.token} is newer")
        self.token = token

    def _need(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise NotAllowed(otherwise)


@dataclass
class Mailbox(Turns):
    """One agent whose wakes are all due when they arrive, under a clock. Methods answer the word that the store must answer.

    `rank`: id -> (order of arrival, session), for all that waits or is frozen.
    """

    now: int = 0
    holder: str = ""
    until: int = 0
    seq: int = 0
    rank: dict[str, tuple[int, str]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    frozen: dict[str, list[str]] = field(default_factory=dict)
    not_before: dict[str, int] = field(default_factory=dict)  # of parked batches
    over: dict[str, str] = field(default_factory=dict)  # id -> settled or dead
    done: tuple[int, str] = (0, "")  # token and batch of the last end

    def arrive(self, wake: str, session: str) -> None:
        self.seq += 1
        self.rank[wake] = self.seq, session
        self.waiting.add(wake)
        self.over.pop(wake, None)

    def may_acquire(self) -> str:
        """LEASED means that `leased` follows."""
        if self.holder and self.until > self.now:
            return "LEASE_HELD"
        if self.holder and self.running:
            self.taken_over(self.running, self.token)
            return "LEASED"
        self.holder = ""
        dues = list(self.not_before.values()) + [self.now for wake in self.waiting if not self._blocked(self.rank[wake][1])]
        return "EMPTY" if not dues else "LEASED" if min(dues) <= self.now else "NOT_DUE"

    def granted(self, token: int, holder: str, claim_ms: int) -> None:
        self.leased(token)
        self.holder, self.until = holder, self.now + claim_ms

    def taken_over(self, batch: str, token: int) -> None:
        super().taken_over(batch, token)
        self.not_before[batch] = self.now

    def begin(self, batch: str, token: int, session: str, ttl_ms: int) -> str:
        if not self._holds(token):
            return "STALE_TOKEN"
        if self.running:
            return "BEGUN" if self.running == batch else "BEGUN_ALREADY"
        if self._blocked(session):
            return "TARGET_PARKED"
        taken = sorted((self.rank[wake][0], wake) for wake in self.waiting if self.rank[wake][1] == session)
        if not taken:
            return "NOTHING"
        self.frozen[batch] = [wake for _, wake in taken]
        self.waiting -= set(self.frozen[batch])
        self.begun(batch, token, len(taken), session, 1)
        self.until = self.now + ttl_ms
        return "BEGUN"

    def resume(self, batch: str, token: int, ttl_ms: int) -> str:
        if not self._holds(token):
            return "STALE_TOKEN"
        if self.running:
            return "BEGUN" if self.running == batch else "BEGUN_ALREADY"
        if batch not in self.not_before:
            return "NO_BATCH"
        known = self.batches[batch]
        self.begun(batch, token, known.n, known.session, known.attempt + 1)
        del self.not_before[batch]
        self.until = self.now + ttl_ms
        return "BEGUN"

    def end(self, batch: str, token: int, how: str, delay_ms: int) -> str:
        """`how`: SETTLED, PARKED, DISSOLVED or BURIED."""
        if self.done == (token, batch):
            return "ALREADY_SETTLED"
        if not self._holds(token):
            return "STALE_TOKEN"
        if self.running != batch and not (how == "BURIED" and not self.running and batch in self.not_before):
            return "NO_BATCH"
        if how == "PARKED":
            self.parked(batch, token, how)
            self.not_before[batch] = self.now + delay_ms
        else:
            self.closed(batch, token, "dead-lettered" if how == "BURIED" else how.lower())
            self.not_before.pop(batch, None)
            wakes = self.frozen.pop(batch)
            if how == "DISSOLVED":
                self.waiting |= set(wakes)
            else:
                self.over |= dict.fromkeys(wakes, "dead" if how == "BURIED" else "settled")
        self.holder, self.done = "", (token, batch)
        return how

    def fate(self, wake: str) -> str:
        if wake in self.over:
            return self.over[wake]
        return "running" if self.running and wake in self.frozen[self.running] else "pending"

    def _holds(self, token: int) -> bool:
        return bool(self.holder) and token == self.token

    def _blocked(self, session: str) -> bool:
        return any(self.batches[batch].session == session for batch in self.not_before)
