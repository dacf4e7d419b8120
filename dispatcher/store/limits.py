"""The numbers that the store's steps are given. `limits_of` fills in what the configuration says; those defaults serve tests only."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.core.rules import RIDER_AGE_MS


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds and durations of one store. Sizes are counts of entries."""

    dedupe_ms: int = 86_400_000
    max_ids: int = 1_000_000
    max_inbox: int = 100_000
    max_mailbox: int = 100_000
    max_dead: int = 10_000
    ledger_max: int = 10_000
    keep_fates: int = 100_000
    keep_fates_ms: int = 604_800_000
    claim_ms: int = 10_000
    ttl_ms: int = 30_000
    max_hold_ms: int = 5_000
    idle_ms: int = 6_000
    announce_ms: int = 1_000
    min_uptime_s: int = 30
    rider_age_ms: int = RIDER_AGE_MS
    outputs_shown: int = 50
