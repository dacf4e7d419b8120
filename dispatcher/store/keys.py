"""Every key of the store. All keys of one script share the hash tag of their slot, and are passed in, never built in Lua.

Key names carry the pool, so that a server user can be limited to it. `lua/README.md` is the table of types, owners and ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from dispatcher.names import slot_of

LANES = ("lane_manual", "lane_immediate", "lane_event", "lane_task", "lane_scheduled", "lane_rider", "lane_deep")
POOL_NAMES = ("clock", "due", "look", "bell", "leases", "counters", "deads", "trims", "ledger", "ticks", "observed")
SLOT_NAMES = ("homes", "pools", "holds", "wide_holds")
AGENT_NAMES = (
    "lease",
    "state",
    *LANES,
    "parked",
    "blocks",
    "mailbox",
    "wakes",
    "outputs",
    "frozen",
    "batches",
    "fates",
    "finals",
    "dead",
    "handoffs",
)
_OF_AGENT = frozenset(AGENT_NAMES)
CAP_NAMES = ("pool_running", "line", "asked", "bucket")
INBOX_NAMES = ("stream", "seen", "order", "counters", "announced", "dead", "pins", "bindings", "caused", "reload", "reloads", "acts")
DERIVE = ("due", "look", "bell", "leases", "ticks", "lease", "state", *LANES, "parked", "blocks")


class AgentKeys(Mapping[str, str]):
    """Keys of one agent by name, each made when it is asked for: of thirty, a call by name wants one, and a step's are packed together."""

    __slots__ = ("agent_id", "shared", "where")

    def __init__(self, shared: Mapping[str, str], where: str, agent_id: str) -> None:
        self.shared, self.where, self.agent_id = shared, where, agent_id

    def __getitem__(self, name: str) -> str:
        return f"{self.where}:{self.agent_id}:{name}" if name in _OF_AGENT else self.shared[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.shared
        yield from AGENT_NAMES

    def __len__(self) -> int:
        return len(self.shared) + len(AGENT_NAMES)


class Keys:
    """Key names of one store: `prefix` and the number of slots, both fixed when the store is created."""

    def __init__(self, prefix: str, slots: int) -> None:
        self.prefix = prefix
        self.slots = slots
        self.inbox = {name: f"{prefix}:{{inbox}}:{name}" for name in INBOX_NAMES}
        self.layout = f"{prefix}:{{inbox}}:layout"
        self.presence_channel = f"{prefix}:presence:"
        self.slot = lru_cache(maxsize=4_096)(self._slot)
        self.pool = lru_cache(maxsize=4_096)(self._pool)

    def caps(self, pool: str) -> dict[str, str]:
        """Who runs and who waits for a place, of all slots: `running` of the store, the rest of one pool."""
        base = f"{self.prefix}:{{caps}}"
        return {"running": f"{base}:running"} | {name: f"{base}:{pool}:{name}" for name in CAP_NAMES}

    def slot_of(self, agent_id: str) -> int:
        return slot_of(agent_id, self.slots)

    def _slot(self, slot: int) -> dict[str, str]:
        """Keys of a slot that no pool owns: which agent lives in which pool, and which pools there are."""
        return {name: f"{self.prefix}:{{s{slot:02d}}}:{name}" for name in SLOT_NAMES}

    def _pool(self, slot: int, pool: str) -> dict[str, str]:
        base = f"{self.prefix}:{{s{slot:02d}}}:{pool}"
        return self.slot(slot) | {name: f"{base}:{name}" for name in POOL_NAMES}

    def agent(self, pool: str, agent_id: str) -> AgentKeys:
        """Keys of an agent, with those of its slot and pool."""
        slot = self.slot_of(agent_id)
        return AgentKeys(self.pool(slot, pool), f"{self.prefix}:{{s{slot:02d}}}:{pool}", agent_id)
