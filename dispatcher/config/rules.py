"""From settings to the numbers that the policy wants."""

from __future__ import annotations

from dataclasses import replace

from dispatcher.config.agents import AgentPolicy
from dispatcher.config.model import Config
from dispatcher.config.sections import CapsSettings, PoolSettings
from dispatcher.core.durations import parse_duration_ms
from dispatcher.core.rules import Rules
from dispatcher.core.schedule import phase

REMEMBERED = 8_192  # agents; there may be very many, few of them are busy, and those with a cadence have rules of their own each


def rules_of(config: Config, agent_id: str) -> Rules:
    """The numbers of one agent; remembered for those asked for lately. One that the configuration does not know is not enabled."""
    known = config.rules_known.get(agent_id)
    if known is None:
        if len(config.rules_known) >= REMEMBERED:
            config.rules_known.clear()
        known = config.rules_known[agent_id] = _rules(config, agent_id)
    return known


def _rules(config: Config, agent_id: str) -> Rules:
    policy, pool = config.agent(agent_id), config.pool_of(agent_id)
    shared = config.rules_shared.get((id(policy), pool))  # the configuration keeps its policies, so no other object gets this id
    if shared is None:
        shared = config.rules_shared[id(policy), pool] = _shared(policy, config.pool(pool), config.caps)
    enabled = shared.enabled and config.knows(agent_id)
    if enabled == shared.enabled and not shared.interval_ms:
        return shared
    return replace(shared, enabled=enabled, phase_ms=phase(policy.phase_seed, agent_id, shared.interval_ms) if shared.interval_ms else 0)


def _shared(policy: AgentPolicy, pool: PoolSettings, caps: CapsSettings) -> Rules:
    return Rules(
        enabled=policy.enabled,
        window_ms=policy.window_ms,
        quiet_ms=policy.quiet_ms if policy.max_wait_ms > 0 else 0,
        min_spacing_ms=policy.min_spacing_ms,
        flood_starts=policy.flood_starts,
        flood_window_ms=policy.flood_window_ms,
        max_wait_ms=policy.max_wait_ms,
        max_batch=policy.max_batch,
        max_failures=policy.max_failures,
        max_deliveries=policy.max_deliveries,
        retry_base_ms=policy.retry_base_ms,
        retry_max_ms=policy.retry_max_ms,
        budget_per_hour=policy.budget_per_hour,
        budget_per_day=policy.budget_per_day,
        bury_over_budget=policy.over_budget == "dead-letter",
        interval_ms=parse_duration_ms(policy.every),
        hours=policy.active_hours.hours(policy.user_timezone) if policy.active_hours else None,
        max_lineage_depth=policy.max_lineage_depth,
        lineage_spacing_ms=policy.lineage_spacing_ms,
        all_cap=caps.max_running,
        pool_cap=pool.max_running,
        overdue_ms=caps.overdue_ms,
        release_per_s=caps.release_per_s,
    )
