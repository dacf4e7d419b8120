"""What a live view shows, as one value a look: pools, who runs, who waits and until when. Reads only, and no more than it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from dispatcher.core.session_key import valid_agent_id
from dispatcher.names import serves
from dispatcher.store.glance import Detail, Due, Glance
from dispatcher.store.ledger import AgentStatus
from dispatcher.store.opened import Store

SORTS = ("next", "oldest", "waiting", "agent", "state")
PAGE = 200
_ORDER = {"running": 0, "waiting": 1, "deferred": 2, "idle": 3}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be seen: agents whose id has `part` in it, or matches it as a pattern; of one pool; in which order; how many at most."""

    part: str = ""
    pool: str = ""
    sort: str = "next"
    page: int = PAGE


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool. `late_ms`: how long the agent that is due first has been due; None when nobody is. `workers` serve it."""

    pool: str
    workers: int
    working: int
    running: int
    late_ms: int | None
    heartbeats: int
    dead: int


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent. `left_ms` counts down to the look at a deferred one; `for_ms` is how long its lease has been held."""

    agent_id: str
    pool: str
    state: str
    reason: str | None
    left_ms: int | None
    waiting: int
    parked: int
    oldest_ms: int | None
    heartbeats: int
    for_ms: int | None = None
    batch_id: str | None = None
    token: int | None = None
    attempt: int = 0
    size: int = 0
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One look. `working` agents have work or run; `agents` are a page of those asked for, `matching` how many of the heads were."""

    at_ms: int
    missing: tuple[str, ...]
    routers: int
    workers: int
    inbox: int
    dead: int
    working: int
    running: int
    pools: tuple[PoolRow, ...]
    agents: tuple[AgentRow, ...]
    matching: int
    asked: Asked

    @property
    def ready(self) -> bool:
        return not self.missing

    def shown(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self) | {"ready": self.ready}


class Viewer:
    """Looks at one store. Raises StoreUnavailable; the next look may find it again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def frame(self, asked: Asked) -> Frame:
        """At most five round trips, and `asked.page` agents in detail."""
        glance = self._store.glancing.look(asked.pool)
        wanted = _wanted(glance, asked)
        page = wanted[: asked.page]
        rows = self._rows(self._store.glancing.details(page) if page else [], glance.now_ms)
        rows += self._named(asked, {row.agent_id for row in rows}, glance.now_ms)
        routers, pools = _served(glance)
        return Frame(
            at_ms=glance.now_ms,
            missing=_missing(glance, routers, pools),
            routers=routers,
            workers=sum(serves(one)[0] == "worker" for one in glance.presences),
            inbox=glance.inbox,
            dead=glance.ownerless + sum(seen.dead for seen in glance.pools),
            working=sum(seen.working for seen in glance.pools),
            running=len(glance.running),
            pools=tuple(
                PoolRow(
                    seen.pool,
                    pools.count(seen.pool),
                    seen.working,
                    seen.running,
                    glance.now_ms - seen.due_at_ms if seen.due_at_ms is not None and seen.due_at_ms <= glance.now_ms else None,
                    seen.heartbeats,
                    seen.dead,
                )
                for seen in glance.pools
            ),
            agents=tuple(sorted(rows, key=_KEYS[asked.sort])),
            matching=max(len(wanted), len(rows)),
            asked=asked,
        )

    def _named(self, asked: Asked, shown: set[str], now_ms: int) -> list[AgentRow]:
        """The agent whose whole id was given, also if it is not among the heads, or idle."""
        agent_id = asked.part.lower()
        if not valid_agent_id(agent_id) or agent_id in shown:
            return []
        found = self._store.ledger.agent(agent_id)
        return self._rows([Detail(found, 0, 0)], now_ms) if found and asked.pool in ("", found.pool) else []

    def _rows(self, details: Sequence[Detail], now_ms: int) -> list[AgentRow]:
        oldest = self._store.gauges.oldest([(one.status.pool, one.status.agent_id) for one in details])
        return [agent_row(one, oldest.get(one.status.agent_id), now_ms) for one in details]


def _served(glance: Glance) -> tuple[int, list[str]]:
    roles = [serves(holder) for holder in glance.presences]
    return sum(role == "router" for role, _ in roles), [pool for role, names in roles if role == "worker" for pool in names]


def _missing(glance: Glance, routers: int, served: list[str]) -> tuple[str, ...]:
    lacking = [f"worker of pool {seen.pool}" for seen in glance.pools if seen.working and seen.pool not in served]
    return (*(() if routers else ("router",)), *(lacking if served else ("worker",)))


def _wanted(glance: Glance, asked: Asked) -> list[Due]:
    """Who runs, then who is due first, as far as asked for."""
    due = {(one.agent_id, one.pool): one.due_at_ms for one in glance.heads}
    running = [(one.agent_id, one.pool) for one in sorted(glance.running, key=lambda one: one.token)]
    order = [*running, *(key for key in due if key not in set(running))]
    return [Due(due.get(key, glance.now_ms), *key) for key in order if _matches(asked.part, key[0])]


def _matches(part: str, agent_id: str) -> bool:
    part = part.lower()
    return fnmatchcase(agent_id, part) if set(part) & set("*?") else part in agent_id


def agent_row(detail: Detail, oldest_at_ms: int | None, now_ms: int) -> AgentRow:
    """One agent as of now."""
    found = detail.status
    state, reason, until_ms = state_of(found, now_ms)
    running = found.running is not None
    return AgentRow(
        found.agent_id,
        found.pool,
        state,
        reason,
        None if until_ms is None else max(0, until_ms - now_ms),
        found.pending,
        found.parked,
        None if oldest_at_ms is None else max(0, now_ms - oldest_at_ms),
        found.heartbeats,
        # A token is the server's time in µs at which its lease was taken, or one more than the last.
        max(0, now_ms - found.token // 1000) if running and found.token else None,
        found.running,
        found.token if running else None,
        detail.attempt,
        detail.size,
        found.holder if running else None,
    )


def state_of(found: AgentStatus, now_ms: int) -> tuple[str, str | None, int | None]:
    """(state, why it waits, until when). A lease that has not begun a batch yet is a decision being made: still waiting."""
    if found.running:
        return "running", None, None
    due_ms = found.due_at_ms
    if due_ms is None:
        return "idle", None, None
    if due_ms <= now_ms or found.holder:
        return "waiting", None, None
    binding = sorted((until_ms, reason) for until_ms, reason in found.deferrals.values() if until_ms > now_ms)
    if binding:
        until_ms, reason = next((item for item in binding if item[0] >= due_ms), binding[-1])
        return "deferred", reason, until_ms
    if found.parked:
        return "deferred", "retry", due_ms
    return "waiting", None, due_ms


_KEYS: dict[str, Callable[[AgentRow], tuple[Any, ...]]] = {
    "next": lambda row: (_ORDER[row.state] if row.state == "running" else 1, row.left_ms or 0, -(row.oldest_ms or 0), row.agent_id),
    "oldest": lambda row: (-(row.oldest_ms or 0), row.agent_id),
    "waiting": lambda row: (-row.waiting, row.agent_id),
    "agent": lambda row: (row.agent_id,),
    "state": lambda row: (_ORDER[row.state], row.reason or "", row.agent_id),
}
