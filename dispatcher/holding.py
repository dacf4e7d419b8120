"""What operators do to agents: pause, drain, resume. By agent, by pattern, by pool; each leaves a receipt, and rings what is due again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.config import Config
from dispatcher.config.selectors import hold_selector
from dispatcher.core.durations import duration_words
from dispatcher.core.errors import InvalidAddress, NotHeld
from dispatcher.core.snapshot import Hold, covers
from dispatcher.routing import Ringer
from dispatcher.store.opened import Store


@dataclass(frozen=True, slots=True)
class Bound:
    """Whom a selector means. `agents`, with their pool: that agent, or if `wide` those with work now; others to come are bound, too."""

    selector: str
    wide: bool
    agents: tuple[tuple[str, str], ...]


class Holding:
    """Acts on one store. Raises StoreUnavailable, and InvalidAddress for a selector that means nobody."""

    def __init__(self, store: Store, config: Config, ringer: Ringer) -> None:
        self._store, self._config, self._ringer = store, config, ringer

    def bound(self, selector: str) -> Bound:
        """Whom `ops`, `lab-*` or `pool:research` means. Changes nothing."""
        selector, wide = hold_selector(selector)
        if not wide:
            home = self._store.ledger.home_of(selector)
            if home is None and not self._config.knows(selector) and selector not in {hold.selector for hold in self.standing()}:
                raise InvalidAddress("unknown-agent", f"hold agent={selector}: neither the configuration nor the store knows it")
            return Bound(selector, False, ((selector, home[0] if home else self._config.pool_of(selector)),))
        self._check_pool(selector)
        working = ((found.agent_id, found.pool) for found in self._store.ledger.agents())
        return Bound(selector, True, tuple(sorted(agent for agent in working if covers(selector, *agent))))

    def _check_pool(self, selector: str) -> None:
        kind, colon, name = selector.partition(":")
        if not colon:
            return
        known = {*self._config.pool_names(), *(pool for _, pool in self._store.ledger.pools())}
        if name not in known:
            raise InvalidAddress("unknown-agent", f"hold {kind}:{name}: there is no such pool; there are {', '.join(sorted(known))}")

    def hold(self, bound: Bound, what: str, reason: str, by: str, for_ms: int = 0) -> Hold:
        """Pauses or drains; for ever, or for so long. From the answer on nothing of these agents starts; what runs may finish."""
        now_ms = self._store.ledger.now_ms()
        hold = Hold(bound.selector, what, reason, by, now_ms, now_ms + for_ms if for_ms else 0)
        self._store.acts.note(what, bound.selector, by, reason, f"for {duration_words(for_ms)}" if for_ms else "")
        self._put(bound, hold, by)
        return hold

    def resume(self, bound: Bound, by: str) -> Hold:
        """Takes the hold of just this selector away; what waited is due again, as one heartbeat. The hold that stood. Raises NotHeld."""
        found = [hold for hold in self.standing() if hold.selector == bound.selector]
        if not found:
            others = {hold.selector for holds in self.others(bound).values() for hold in holds}
            rest = f"; it is held by {', '.join(sorted(others))}" if others else "; see `wake holds`"
            raise NotHeld(f"resume {bound.selector}: there is no such hold{rest}")
        self._store.acts.note("resumed", bound.selector, by, about=f"{found[0].what} by {found[0].by}: {found[0].reason}")
        self._put(bound, None, by)
        return found[0]

    def _put(self, bound: Bound, hold: Hold | None, by: str) -> None:
        self._store.holds.forget_lapsed()
        if bound.wide:
            self._ringer.ring_all(self._store.holds.put_wide(bound.selector, hold, by))
            return
        agent_id, pool = bound.agents[0]
        if self._store.holds.put(agent_id, pool, hold, by):
            self._ringer.ring_all([(agent_id, pool)])

    def others(self, bound: Bound) -> Mapping[str, tuple[Hold, ...]]:
        """The agents with work that another hold binds as well, and by which; of one agent also while it has none."""
        holds = [hold for hold in self.standing() if hold.selector != bound.selector]
        found = {agent: tuple(hold for hold in holds if covers(hold.selector, agent, pool)) for agent, pool in bound.agents}
        return {agent: by for agent, by in found.items() if by}

    def standing(self) -> list[Hold]:
        """Every hold that binds now, those of agents first."""
        now_ms = self._store.ledger.now_ms()
        return [hold for hold in self._store.holds.all() if not hold.until_ms or hold.until_ms > now_ms]
