"""Gathers what there is to know of an agent or a completion, and has the core explain it. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.config import Config, rules_of
from dispatcher.core.cause_words import COMPLETION_CAUSES, DEAD_REASONS, Words
from dispatcher.core.durations import duration_words
from dispatcher.core.errors import InvalidAddress, UnknownCompletion
from dispatcher.core.explain import Around, Explanation, explain
from dispatcher.core.inspected import Inspected, nobody
from dispatcher.core.models import DeadReason, Fate
from dispatcher.core.receipts import Told, tell
from dispatcher.core.session_key import valid_agent_id
from dispatcher.core.snapshot import Snapshot
from dispatcher.names import serves
from dispatcher.store.ledger import Whereabouts
from dispatcher.store.opened import Store


@dataclass(frozen=True, slots=True)
class AgentExplained:
    """One agent: why it runs or not now, and what was decided last, the oldest last."""

    agent_id: str
    pool: str
    why: Explanation
    heartbeats: int
    caused: int
    dead: int
    decisions: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class CompletionExplained:
    """One completion: where it is and why. `agent` is its agent's explanation while it waits there."""

    completion_id: str
    fate: Fate
    cause: str
    words: Words
    at_ms: int | None
    agent: AgentExplained | None


class Explainer:
    """Explains on one store by one configuration. Raises StoreUnavailable."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config

    def agent(self, agent_id: str, newest: int = 20) -> AgentExplained:
        """Raises InvalidAddress for one that neither the configuration nor the store knows."""
        config, store = self._config, self._store
        valid, agent_id = valid_agent_id(agent_id), agent_id.lower()
        home = store.ledger.home_of(agent_id) if valid else None
        if not valid or (home is None and not config.knows(agent_id)):
            raise InvalidAddress("unknown-agent", f"explain agent={agent_id[:80]!r}: neither the configuration nor the store knows it")
        seen = store.inspection.inspect(agent_id, home[0] if home else config.pool_of(agent_id)) or self._unseen(agent_id)
        records = store.ledger.records(agent_id, newest=config.bounds.ledger_receipts)
        around = self._around(seen)
        why = explain(seen, around, rules_of(config, agent_id), records)
        told = tuple(one._replace(at_ms=seen.real_ms(one.at_ms)) for one in tell(records, seen.snapshot.now_ms, newest))
        return AgentExplained(agent_id, seen.pool, why, seen.heartbeats, around.caused, seen.dead, told)

    def _unseen(self, agent_id: str) -> Inspected:
        pool, now_ms = self._config.pool_of(agent_id), self._store.ledger.now_ms()
        return nobody(agent_id, pool, Snapshot(now_ms, 0, (), (), (), now_ms, holds=self._store.holds.of(agent_id, pool)))

    def _around(self, seen: Inspected) -> Around:
        ledger = self._store.ledger
        presences = ledger.presences()
        roles = [serves(holder) for holder in presences]
        return Around(
            self._config.knows(seen.agent_id),
            sum(role == "router" for role, _ in roles),
            sum(seen.pool in pools for _, pools in roles),
            bool(seen.held and seen.held.holder in presences),
            ledger.inbox_depth(),
            self._store.inspection.caused_by([seen.agent_id])[0],
        )

    def completion(self, completion_id: str) -> CompletionExplained:
        """Raises UnknownCompletion."""
        found = self._store.ledger.where(completion_id)
        if found is None:
            message = f"explain completion={completion_id}: never accepted here, or forgotten after its retention; check the id"
            raise UnknownCompletion(message)
        cause = _CAUSES[found.fate]
        at_ms = found.at_ms if found.at_ms is not None else found.accepted_at_ms
        waits = found.fate in (Fate.PENDING, Fate.RUNNING) and found.agent_id
        batch_id, _, outcome = found.detail.partition("|")
        names = {
            "agent": found.agent_id or "nobody",
            "age": duration_words(max(0, self._store.ledger.now_ms() - at_ms)) if at_ms else "a while",
            "batch": batch_id,
            "outcome": outcome,
            "why": self._reason(found),
            "remedy": DEAD_REASONS[DeadReason(found.detail)].change if found.fate is Fate.DEAD else "",
        }
        words = COMPLETION_CAUSES[cause]
        if found.fate is Fate.ACCEPTED and not any(serves(holder)[0] == "router" for holder in self._store.ledger.presences()):
            words = words._replace(follows="no router runs that would find its owner; it stays in the inbox, nothing is lost")
        filled = Words(*(text.format_map(names) for text in words))
        return CompletionExplained(completion_id, found.fate, cause, filled, at_ms, self.agent(str(found.agent_id)) if waits else None)

    def _reason(self, found: Whereabouts) -> str:
        """Of what is over, or set aside."""
        if found.fate is not Fate.DEAD:
            return found.detail
        letter = self._store.ledger.dead_letter(found.completion_id)
        return ": ".join([found.detail, *(letter[0].errors[-1:] if letter else ())])


_CAUSES = {
    Fate.ACCEPTED: "accepted",
    Fate.ROUTED: "forgotten",
    Fate.PENDING: "pending",
    Fate.RUNNING: "in-heartbeat",
    Fate.SETTLED: "settled",
    Fate.SUPPRESSED: "suppressed",
    Fate.DEAD: "dead-letter",
    Fate.DROPPED: "dropped",
}
