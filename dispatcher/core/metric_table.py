"""Every metric: name, kind, unit, labels, meaning. The only table of them; what it names is part of the interface.

`docs/metrics.md` shows it as it stands here; a test compares them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]
UP = "wake_store_up"
START_DELAY, SETTLE_DELAY, BATCH_SIZE = "wake_start_delay_seconds", "wake_settle_delay_seconds", "wake_batch_completions"
DEFERRALS, STALE_TOKENS, FOREIGN_DOORBELLS = "wake_deferrals_total", "wake_stale_tokens_total", "wake_foreign_doorbells_total"
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
# Upper bounds of histogram buckets, in the unit of the metric.
BUCKETS: dict[str, tuple[float, ...]] = {
    START_DELAY: _SECONDS,
    SETTLE_DELAY: _SECONDS,
    BATCH_SIZE: (1, 2, 5, 10, 20, 50, 100, 500, 1000, 5000),
}


class Metric(NamedTuple):
    """One metric as it is exposed. `per_agent`: only with `[metrics] per_agent`."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    says: str
    per_agent: bool = False


METRICS = (
    Metric(UP, "gauge", "0 or 1", (), "1 when the server answered this scrape; 0: nothing else is told"),
    Metric("wake_routers", "gauge", "processes", (), "routers that are present"),
    Metric("wake_workers", "gauge", "processes", ("pool",), "workers that are present"),
    Metric("wake_inbox_depth", "gauge", "completions", (), "accepted and not routed yet"),
    Metric("wake_inbox_lag_seconds", "gauge", "seconds", (), "age of the oldest entry of the inbox; 0 when it is empty"),
    Metric("wake_completions_accepted_total", "counter", "completions", (), "accepted into the inbox"),
    Metric("wake_completions_suppressed_total", "counter", "completions", ("pool",), "quiet ones: recorded, and woke nobody"),
    Metric("wake_completions_settled_total", "counter", "completions", ("pool",), "settled by a heartbeat, ticks of a cadence too"),
    Metric("wake_mailbox_depth", "gauge", "completions", ("pool",), "waiting or in a batch, running ones too"),
    Metric("wake_mailbox_oldest_seconds", "gauge", "seconds", ("pool",), "age of the oldest wake that waits; 0 when none does"),
    Metric("wake_agents_with_work", "gauge", "agents", ("pool",), "that have something waiting or running"),
    Metric("wake_agents", "gauge", "agents", ("pool", "cause"), "with work, by the cause that `wake explain` names"),
    Metric("wake_agents_unmeasured", "gauge", "agents", ("pool",), "with work, left out of the gauges that look at agents: `max_agents`"),
    Metric("wake_leases_held", "gauge", "leases", ("pool",), "agents that somebody holds: running, or deciding"),
    Metric("wake_due_lag_seconds", "gauge", "seconds", ("pool",), "since when the first agent is due that nobody has taken"),
    Metric("wake_sweep_lag_seconds", "gauge", "seconds", ("pool",), "since the last sweep, of the slot that was swept the longest ago"),
    Metric("wake_budget_used_ratio", "gauge", "ratio", ("pool",), "spent of its budget by the agent with work that spent most; 1: all"),
    Metric(
        "wake_heartbeats_total", "counter", "heartbeats", ("pool", "outcome"), "ended: ran, skipped, busy, failed, handed-back, cancelled"
    ),
    Metric("wake_heartbeats_avoidable_total", "counter", "heartbeats", ("pool", "reason"), "that need not have been, by the reason"),
    Metric(BATCH_SIZE, "histogram", "completions", ("pool",), "in a heartbeat, first attempts; the mean is the coalescing ratio"),
    Metric(START_DELAY, "histogram", "seconds", ("pool",), "wake to start: acceptance to the start of the first attempt, each completion"),
    Metric(SETTLE_DELAY, "histogram", "seconds", ("pool",), "completion to settle: acceptance to the end that settles it, each completion"),
    Metric(DEFERRALS, "counter", "deferrals", ("pool", "reason"), "decisions not to run now, by the policy's reason"),
    Metric("wake_takeovers_total", "counter", "batches", ("pool",), "taken over from a holder that was gone"),
    Metric(STALE_TOKENS, "counter", "answers", ("pool",), "ends of heartbeats that were refused, because another one holds the agent"),
    Metric(FOREIGN_DOORBELLS, "counter", "doorbells", ("pool",), "refused, because the agent lives in another pool"),
    Metric("wake_dead_letters", "gauge", "dead letters", (), "that lie there now"),
    Metric("wake_dead_lettered_total", "counter", "completions", ("pool", "reason"), "became dead letters; without an owner: pool empty"),
    Metric("wake_balance", "gauge", "completions", (), "accepted and found nowhere in two readings; below 0: found twice. 0 is right"),
    Metric("wake_agent_mailbox_depth", "gauge", "completions", ("pool", "agent"), "its completions, waiting or in a batch", True),
    Metric("wake_agent_mailbox_oldest_seconds", "gauge", "seconds", ("pool", "agent"), "its oldest wake that waits", True),
    Metric("wake_agent_budget_used_ratio", "gauge", "ratio", ("pool", "agent"), "spent of its budget; 1: all", True),
)
BY_NAME = {metric.name: metric for metric in METRICS}


class Sample(NamedTuple):
    """One value of a gauge or counter; `labels` in the order of its metric."""

    name: str
    labels: tuple[str, ...]
    value: float


class Spread(NamedTuple):
    """One histogram: how many observations lie in each bucket, not added up; the last counts what is above all bounds."""

    name: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    total: float


def bucket_of(name: str, value: float) -> int:
    """The place of a value among the buckets of a histogram."""
    bounds = BUCKETS[name]
    return next((place for place, bound in enumerate(bounds) if value <= bound), len(bounds))
