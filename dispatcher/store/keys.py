"""Every key of the store. All keys of one script share the hash tag of their slot, and are passed in, never built in Lua.

Key names carry the pool, so that a server user can be limited to it. `lua/README.md` is the table of types, owners and ends.
"""

from __future__ import annotations

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
CAP_NAMES = ("pool_running", "line", "asked", "bucket")
INBOX_NAMES = ("stream", "seen", "order", "counters", "announced", "dead", "pins", "bindings", "caused", "reload", "reloads", "acts")
DERIVE = ("due", "look", "bell", "leases", "ticks", "lease", "state", *LANES, "parked", "blocks")


class Keys:
    """Key names of one store: `prefix` and the number of slots, both fixed when the store is created."""

    def __init__(self, prefix: str, slots: int) -> None:
        self.prefix = prefix
        self.slots = slots
        self.inbox = {name: f"{prefix}:{{inbox}}:{name}" for name in INBOX_NAMES}
        self.layout = f"{prefix}:{{inbox}}:layout"
        self.presence_channel = f"{prefix}:presence:"
        self.slot = lru_cache(maxsize=4_096)(self._slot)
        self.agent = lru_cache(maxsize=4_096)(self._agent)
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

    def _agent(self, pool: str, agent_id: str) -> dict[str, str]:
        slot = self.slot_of(agent_id)
        base = f"{self.prefix}:{{s{slot:02d}}}:{pool}:{agent_id}"
        return self.pool(slot, pool) | {name: f"{base}:{name}" for name in AGENT_NAMES}
