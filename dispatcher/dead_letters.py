"""What an operator does with dead letters: revive one, resolved afresh, or drop it for good.

A letter without an owner goes back into the inbox. One with an owner waits again in its mailbox, unless its key belongs to somebody else
by now: then that agent is noted beside the letter, the wake is deposited there, and the letter is removed after it. A crash in between
leaves the note; repeating carries on with the agent that it names, whoever owns the key by then, so that no second agent is woken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from dispatcher.config import Config
from dispatcher.core import session_key
from dispatcher.core.errors import InvalidAddress, NotRevived, UnknownCompletion
from dispatcher.core.models import Address, DeadLetter, Route, Via, Wake
from dispatcher.core.reported import lane_of, read_body
from dispatcher.routing import Ringer, Router
from dispatcher.store.handoffs import Handoff, mark_of
from dispatcher.store.letters import Record, wake_of
from dispatcher.store.mailbox import Deposit
from dispatcher.store.opened import Store
from dispatcher.store.scripts import Reply

T = TypeVar("T")


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
        """Gives the completion to the owner that its key has now, and says who that is. An interrupted revival goes on for whom it was for.

        Raises NotRevived while the key has no owner (the letter stays), UnknownCompletion when there is no such letter.
        """
        letter, record = self.find(completion_id)
        if "wake" not in record:
            return self._revive_ownerless(letter, record)
        wake = wake_of(record)
        if noted := record.get("handoff"):
            return self._revive_elsewhere(letter, record, wake, Address(agent_id=noted["to"], session_key=noted["session"]), noted["via"])
        # The wake does not repeat whom its producer named; for a bare key without a binding that can only be its owner.
        named = letter.agent_id if wake.via == "session-key" and not session_key.parse(wake.key) else None
        route = self._resolve(completion_id, wake.key, named)
        if route.address.agent_id != letter.agent_id:
            return self._revive_elsewhere(letter, record, wake, route.address, route.via)
        self._revive_here(letter)
        return route

    def drop(self, completion_id: str) -> DeadLetter:
        """Drops the letter for good; its fate says so. Raises UnknownCompletion when there is no such letter."""
        letter, record = self.find(completion_id)
        match _drop(self._store, completion_id, str(letter.agent_id) if "wake" in record else None, "operator"):
            case "DROPPED":
                return letter
            case "HANDED_OFF":
                to = f"agent={letter.handoff_to}" if letter.handoff_to else "another agent"
                raise NotRevived(
                    f"drop completion={completion_id}: its revival for {to} was interrupted; revive it again, that completes it"
                )
            case _:
                raise UnknownCompletion(f"drop completion={completion_id}: somebody else has just revived or dropped it")

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
            if ended.status == "HANDED_OFF":
                raise NotRevived(
                    f"revive completion={letter.completion_id}: somebody else is just reviving it for another agent; try again"
                )
        raise UnknownCompletion(f"revive completion={letter.completion_id} agent={agent_id}: somebody else has just revived or dropped it")

    def _revive_elsewhere(self, letter: DeadLetter, record: Record, wake: Wake, to: Address, via: Via) -> Route:
        """Note, deposit, receipt, letter, mark, in this order; each may be repeated, and none is undone."""
        completion_id, before, store = letter.completion_id, str(letter.agent_id), self._store
        revival = int(record["revival"]) + 1
        handoff = self._at_home(before, lambda pool: store.handoffs.note(before, pool, completion_id, revival, to, via))
        if not handoff:
            raise UnknownCompletion(f"revive completion={completion_id} agent={before}: somebody else has just revived or dropped it")
        owner = handoff.agent_id  # somebody else's note may have been quicker
        route = self._router.route_to(Address(agent_id=owner, session_key=handoff.session_key), handoff.via)
        reply = self._put(record, wake, route, handoff)
        if reply.status not in ("DEPOSITED", "DUPLICATE", "MAILBOX_FULL"):
            kept = f"agent={before} keeps the letter for it, revive it again"
            raise NotRevived(f"revive completion={completion_id} agent={owner}: {reply.status}; {kept}")
        store.inbox.reroute(completion_id, owner, handoff.via, revival)
        if self._at_home(before, lambda pool: store.handoffs.take(before, pool, completion_id, revival)):
            self._at_home(owner, lambda pool: store.handoffs.let_go(owner, pool, completion_id, mark_of(before, revival)))
        if reply.status == "MAILBOX_FULL":
            raise NotRevived(f"revive completion={completion_id}: the mailbox of agent={owner} is full; it is that agent's dead letter now")
        if reply.status == "DEPOSITED" and reply.rest[0] == 1:
            self._ringer.ring_all([(owner, self._pool_of(owner))])
        if reply == ("DUPLICATE", ["dead"]):
            return self.revive(completion_id)  # it died there meanwhile, and that is the only letter now
        return route

    def _put(self, record: Record, wake: Wake, route: Route, handoff: Handoff) -> Reply:
        owner = route.address.agent_id
        policy, configured = self._config.agent(owner), self._config.pool_of(owner)
        pool, wanted = self._store.ledger.home_of(owner) or (configured, configured)
        deposit = Deposit(
            address=route.address,
            pool=pool,
            configured=wanted,
            wake=wake.model_copy(update={"via": route.via}),
            lane=lane_of(wake, route.address.session_key, policy.wake_subagents, policy.max_lineage_depth),
            delay_ms=0,
            output=record["output"],
            entry=handoff.entries,
            revival=handoff.revival,
            read_at_ms=handoff.at_ms,
        )
        (reply,) = self._store.mailbox.deposit_all([deposit])
        if reply.status == "MOVED":
            moved = replace(deposit, pool=str(reply.rest[0]), configured=str(reply.rest[1]))
            (reply,) = self._store.mailbox.deposit_all([moved])
        return reply

    def _at_home(self, agent_id: str, step: Callable[[str], T]) -> T:
        """What the step answers in the pool of this agent; one that finds nothing is asked once more, in case the agent has just moved."""
        return step(self._pool_of(agent_id)) or step(self._pool_of(agent_id))

    def _pool_of(self, agent_id: str) -> str:
        home = self._store.ledger.home_of(agent_id)
        return home[0] if home else self._config.pool_of(agent_id)


def expire(store: Store, before_ms: int, limit: int) -> int:
    """Drops up to `limit` letters that have been dead since before then, each with the receipt `expired`. How many.

    One whose revival for another agent was interrupted stays: that agent may have it already.
    """
    old = islice(store.ledger.letters.dead_before(before_ms), limit)
    return sum(_drop(store, letter.completion_id, owner, "expired", before_ms) == "DROPPED" for letter, owner in old)


def _drop(store: Store, completion_id: str, owner: str | None, reason: str, before_ms: int = 0) -> str:
    if owner is None:
        return "DROPPED" if store.inbox.drop(completion_id, reason, before_ms) else "NOT_DEAD"
    home = store.ledger.home_of(owner)  # no letter without one
    return store.mailbox.drop(owner, home[0], completion_id, reason, before_ms).status if home else "NOT_DEAD"
