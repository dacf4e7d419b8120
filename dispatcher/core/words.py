"""The words of the interface: intents, sources, fates and the reasons of dead letters."""

from __future__ import annotations

from enum import StrEnum


class Intent(StrEnum):
    """Why a wake wants a turn, most urgent first."""

    MANUAL = "manual"
    IMMEDIATE = "immediate"
    EVENT = "event"
    TASK = "task"
    SCHEDULED = "scheduled"


class Source(StrEnum):
    """What a wake came from."""

    EXEC_EVENT = "exec-event"
    INTERVAL = "interval"
    MANUAL = "manual"
    CRON = "cron"
    HOOK = "hook"
    BACKGROUND_TASK = "background-task"
    NOTIFICATIONS_EVENT = "notifications-event"
    SESSION_STATE = "session-state"
    RETRY = "retry"
    OTHER = "other"


class Fate(StrEnum):
    """Where a completion is. The last four are final, but `dead`, which can be revived."""

    ACCEPTED = "accepted"
    ROUTED = "routed"
    PENDING = "pending"
    RUNNING = "running"
    SETTLED = "settled"
    SUPPRESSED = "suppressed"
    DEAD = "dead"
    DROPPED = "dropped"


class DeadReason(StrEnum):
    """Why a completion was set aside."""

    MISSING_KEY = "missing-key"
    MALFORMED_KEY = "malformed-key"
    UNBOUND_KEY = "unbound-key"
    UNKNOWN_AGENT = "unknown-agent"
    AGENT_DISABLED = "agent-disabled"
    OWNER_MISMATCH = "owner-mismatch"
    FORBIDDEN = "forbidden"
    TOO_LARGE = "too-large"
    INVALID_COMPLETION = "invalid-completion"
    MAILBOX_FULL = "mailbox-full"
    ROUTER_CRASH = "router-crash"
    WORKER_LOST = "worker-lost"
    ATTEMPTS_EXHAUSTED = "attempts-exhausted"
    REFUSED = "refused-by-runner"
    BUDGET = "budget"
    DRAINED = "drained"
    CANCELLED = "cancelled"
