"""The numbers of one agent, and the words for what they make it wait for."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.core.models import Intent
from dispatcher.core.schedule import ActiveHours

AGENT_DISABLED = "agent-disabled"
DRAINING = "draining"
PAUSED = "paused"
CAP = "cap"
RELEASE = "release"
FLOOD = "flood"
BUDGET = "budget"
NOT_DUE = "not-due"
QUIET_HOURS = "quiet-hours"
LINEAGE = "lineage"
MIN_SPACING = "min-spacing"
DEAD_LETTERS_FULL = "dead-letters-full"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BUSY_BLOCK_MS = 1_000
BUSY_WAIT_MS = 60_000
LOOK_AGAIN_MS = HOUR_MS  # for what no time alone will change: whoever changes it has it looked at anyway
ABANDONED_MS = 7 * DAY_MS  # work of a removed or disabled agent becomes dead letters after that
RIDER_AGE_MS = DAY_MS
MAX_LINEAGE_WAIT_MS = HOUR_MS

# Lanes beside those of the intents: completions of subagents, and those of a chain of heartbeats that wakes itself too long.
RIDER = "rider"
DEEP = "deep"
URGENCY = {Intent.MANUAL: 3, Intent.IMMEDIATE: 2, Intent.EVENT: 1, Intent.TASK: 1, RIDER: 1, DEEP: 1, Intent.SCHEDULED: 0}
TURN_ORDER = (Intent.MANUAL, Intent.IMMEDIATE, Intent.EVENT, Intent.SCHEDULED, DEEP, RIDER)
KINDS = (*(intent.value for intent in Intent), DEEP)  # what a deferral can bind; riders are bound as events are


@dataclass(frozen=True, slots=True)
class Rules:
    """What the policy knows of one agent. A spacing, window, budget, cap, rate or flood count of 0 or less switches that guard off.

    `interval_ms` 0 is no cadence; `phase_ms` is where in the interval it ticks. `hours` None is always. `all_cap`, `pool_cap`: running
    heartbeats of the store and of the agent's pool at most. What is more than `overdue_ms` late is released at `release_per_s`.
    """

    enabled: bool = True
    window_ms: int = 250
    quiet_ms: int = 0
    min_spacing_ms: int = 30_000
    flood_starts: int = 5
    flood_window_ms: int = 60_000
    max_wait_ms: int = 60_000
    max_batch: int = 5_000
    max_failures: int = 5
    max_deliveries: int = 20
    retry_base_ms: int = 2_000
    retry_max_ms: int = 600_000
    budget_per_hour: int = 0
    budget_per_day: int = 0
    bury_over_budget: bool = False
    interval_ms: int = 0
    phase_ms: int = 0
    hours: ActiveHours | None = None
    max_lineage_depth: int = 8
    lineage_spacing_ms: int = 30_000
    all_cap: int = 0
    pool_cap: int = 0
    overdue_ms: int = 60_000
    release_per_s: float = 0.0

    @property
    def cadence(self) -> str:
        """What a pending tick was computed from; a tick with another one is computed afresh. Empty: no cadence."""
        return f"{self.interval_ms}/{self.phase_ms}/{self.hours or ''}" if self.interval_ms > 0 else ""


DEFAULTS = Rules()
