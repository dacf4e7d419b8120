"""What an operator does with dead letters: revive one, resolved afresh, or drop it for good.

A letter without an owner goes back into the inbox. One with an owner waits again in its mailbox, unless its key belongs to somebody else
by now: then the wake is deposited there first and the letter removed after it. A crash in between leaves both; repeating heals it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError

from dispatcher.config import Config
from dispatcher.core import session_key
from dispatcher.core.errors import InvalidAddress, NotRevived, UnknownCompletion
from dispatcher.core.models import DeadLetter, Route, Wake
from dispatcher.core.reported import lane_of, read_body
from dispatcher.routing import Ringer, Router
from dispatcher.store.letters import Record, wake_of
from dispatcher.store.mailbox import Deposit
from dispatcher.store.opened import Store
from dispatcher.store.scripts import Reply


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant: those that fit all that is said. Nothing said: all of them. `older_than_ms` counts from their death."""

    reason: str | None = None
    agent_id: str | None = None
    session_key: str | None = None
    older_than_ms: int = 0

    def fits(self, letter: DeadLetter, now_ms: int) -> bool:
        return (
            self.reason in (None, letter.reason)
            and self.agent_id in (None, letter.agent_id)
            and self.session_key in (None, letter.session_key)
            and now_ms - letter.dead_at_ms >= self.older_than_ms
        )


class DeadLetters:
    """The dead letters of one store. `announce` tells routers that the inbox has an entry; failing to is no error."""

    def __init__(self, store: Store, config: Config, ringer: Ringer, announce: Callable[[], None]) -> None:
        self._store, self._config, self._ringer, self._announce = store, config, ringer, announce
        self._router = Router(store, config, ringer)

    def find(self, completion_id: str) -> tuple[DeadLetter, Record]:
        """One dead letter and its whole record. Raises UnknownCompletion."""
        found = self._store.ledger.dead_letter(completion_id)
        if found is None:
            raise UnknownCompletion(f"look up completion={completion_id}: no dead letter has this id; `wake trace` tells where it is")
        return found

    def chosen(self, which: Chosen) -> list[DeadLetter]:
        """The letters that fit, the newest last."""
        now_ms = self._store.ledger.now_ms()
        found = [letter for letter in self._store.ledger.dead_letters() if which.fits(letter, now_ms)]
        return sorted(found, key=lambda letter: (letter.dead_at_ms, letter.completion_id))

    def revive(self, completion_id: str) -> Route:
        """Gives the completion to the owner that its key has now, and says who that is.

        Raises NotRevived while the key has no owner (the letter stays), UnknownCompletion when there is no such letter.
        """
        letter, record = self.find(completion_id)
        if "wake" not in record:
            return self._revive_ownerless(letter, record)
        wake = wake_of(record)
        # The wake does not repeat whom its producer named; for a bare key without a binding that can only be its owner.
        named = letter.agent_id if wake.via == "session-key" and not session_key.parse(wake.key) else None
        route = self._resolve(completion_id, wake.key, named)
        if route.address.agent_id == letter.agent_id:
            self._revive_here(letter)
        else:
            self._revive_elsewhere(letter, record, wake, route)
        return route

    def drop(self, completion_id: str) -> DeadLetter:
        """Drops the letter for good; its fate says so. Raises UnknownCompletion when there is no such letter."""
        letter, record = self.find(completion_id)
        owner = str(letter.agent_id) if "wake" in record else None
        if owner and (other := _revived_for(self._store, completion_id, owner)):
            raise NotRevived(f"drop completion={completion_id}: its revival for agent={other} was interrupted; revive it again")
        if not _drop(self._store, completion_id, owner, "operator"):
            raise UnknownCompletion(f"drop completion={completion_id}: somebody else has just revived or dropped it")
        return letter

    def _resolve(self, completion_id: str, key: str, named: str | None) -> Route:
        try:
            return self._router.resolve(key, named)
        except InvalidAddress as error:
            raise NotRevived(f"revive completion={completion_id}: {error.reason}: {error}; it stays a dead letter") from error

    def _revive_ownerless(self, letter: DeadLetter, record: Record) -> Route:
        try:
            completion = read_body(record["body"])
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False, include_input=False))
            raise NotRevived(f"revive completion={letter.completion_id}: nobody can use it ({faults}); drop it") from None
        route = self._resolve(letter.completion_id, completion.session_key, completion.agent_id)
        if not self._store.inbox.revive(letter.completion_id):
            raise UnknownCompletion(f"revive completion={letter.completion_id}: somebody else has just revived or dropped it")
        self._announce()
        return route

    def _revive_here(self, letter: DeadLetter) -> None:
        agent_id = str(letter.agent_id)
        for _ in range(2):  # a move between the two reads is followed once
            pool = self._pool_of(agent_id)
            ended = self._store.mailbox.revive(agent_id, pool, letter.completion_id)
            if ended.status == "REVIVED":
                if ended.ring:
                    self._ringer.ring_all([(agent_id, pool)])
                return
        raise UnknownCompletion(f"revive completion={letter.completion_id} agent={agent_id}: somebody else has just revived or dropped it")

    def _revive_elsewhere(self, letter: DeadLetter, record: Record, wake: Wake, route: Route) -> None:
        completion_id, before, owner = letter.completion_id, str(letter.agent_id), route.address.agent_id
        revival = int(record["revival"]) + 1
        configured = self._config.pool_of(owner)
        home = self._store.ledger.home_of(owner) or (configured, configured)
        entry = self._store.ledger.entry_of(before, completion_id)
        reply = self._put(record, wake, route, home, entry, revival)
        if reply.status == "MOVED":
            home = (str(reply.rest[0]), str(reply.rest[1]))
            reply = self._put(record, wake, route, home, entry, revival)
        if reply.status not in ("DEPOSITED", "DUPLICATE", "MAILBOX_FULL"):
            raise NotRevived(f"revive completion={completion_id} agent={owner}: {reply.status}; agent={before} keeps the letter, try again")
        self._store.inbox.reroute(completion_id, owner, route.via)
        self._store.mailbox.take_dead(before, self._pool_of(before), completion_id, revival)
        if reply.status == "MAILBOX_FULL":
            raise NotRevived(f"revive completion={completion_id}: the mailbox of agent={owner} is full; it is that agent's dead letter now")
        if reply.rest and reply.rest[0] == 1:
            self._ringer.ring_all([(owner, home[0])])

    def _put(self, record: Record, wake: Wake, route: Route, home: tuple[str, str], entry: str, revival: int) -> Reply:
        policy = self._config.agent(route.address.agent_id)
        deposit = Deposit(
            address=route.address,
            pool=home[0],
            configured=home[1],
            wake=wake.model_copy(update={"via": route.via}),
            lane=lane_of(wake, route.address.session_key, policy.wake_subagents, policy.max_lineage_depth),
            delay_ms=0,
            output=record["output"],
            entry=entry,
            revival=revival,
            read_at_ms=0,  # no claim of an inbox entry stands behind it, so none can run out
        )
        return self._store.mailbox.deposit_all([deposit])[0]

    def _pool_of(self, agent_id: str) -> str:
        home = self._store.ledger.home_of(agent_id)
        return home[0] if home else self._config.pool_of(agent_id)


def expire(store: Store, before_ms: int, limit: int) -> int:
    """Drops up to `limit` letters that have been dead since before then, each with the receipt `expired`. How many."""
    dropped = 0
    for letter, owner in islice(store.ledger.letters.dead_before(before_ms), limit):
        if not owner or not _revived_for(store, letter.completion_id, owner):
            dropped += _drop(store, letter.completion_id, owner, "expired", before_ms)
    return dropped


def _revived_for(store: Store, completion_id: str, owner: str) -> str | None:
    """Who else has this completion already, because a revival was interrupted after its deposit."""
    where = store.ledger.where(completion_id)
    return None if where is None or where.agent_id == owner else where.agent_id


def _drop(store: Store, completion_id: str, owner: str | None, reason: str, before_ms: int = 0) -> bool:
    if owner is None:
        return store.inbox.drop(completion_id, reason, before_ms)
    home = store.ledger.home_of(owner)  # no letter without one
    return home is not None and store.mailbox.drop(owner, home[0], completion_id, reason, before_ms).status == "DROPPED"
