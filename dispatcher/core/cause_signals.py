"""What monitoring shows of each cause of `wake explain`: the series, and the alert that it leads to, if it is to wake a person.

`docs/metrics.md` shows it as it stands here, and the alerts are those of `examples/prometheus/alerts.yml`; tests compare them.
"""

from __future__ import annotations

from typing import NamedTuple


class Signal(NamedTuple):
    """`series`: what is not 0 (for `wake_store_up`, `wake_routers`, `wake_workers`: what is 0). `alert` None: `calm` says why not."""

    series: str
    alert: str | None
    calm: str = ""


def _agents(cause: str) -> str:
    return f'wake_agents{{cause="{cause}"}}'


def _alert(cause: str, alert: str) -> Signal:
    return Signal(_agents(cause), alert)


def _calm(cause: str, why: str) -> Signal:
    return Signal(_agents(cause), None, why)


SIGNALS = {
    "running": _calm("running", "what it is for; its time limit ends it"),
    "lease-live": _calm("lease-live", "lasts for milliseconds; if not, it becomes lease-dead"),
    "lease-dead": _alert("lease-dead", "WakeHolderGone"),
    "no-worker": _alert("no-worker", "WakeNoWorker"),
    "no-router": Signal("wake_routers", "WakeNoRouter"),
    "not-routed": Signal("wake_inbox_lag_seconds", "WakeInboxLag"),
    "paused": _alert("paused", "WakePausedLong"),
    "draining": _calm("draining", "somebody wants it; what it costs is WakeDeadLetters"),
    "agent-disabled": _alert("agent-disabled", "WakeAgentAbandoned"),
    "unknown-agent": _alert("unknown-agent", "WakeAgentAbandoned"),
    "quiet-hours": _calm("quiet-hours", "it is configured"),
    "min-spacing": _calm("min-spacing", "it is configured, and short"),
    "flood": _alert("flood", "WakeFloodGuard"),
    "budget": _alert("budget", "WakeBudgetSpent"),
    "cap": _alert("cap", "WakeCapReached"),
    "release": _alert("release", "WakeReleaseSlow"),
    "lineage": _alert("lineage", "WakeChain"),
    "busy": _alert("busy", "WakeTargetBusy"),
    "retry": _alert("retry", "WakeFailing"),
    "dead-letters-full": _alert("dead-letters-full", "WakeDeadLettersFull"),
    "window": _calm("window", "it is configured, and short"),
    "rider": _calm("rider", "it is configured; a day at most"),
    "due": _alert("due", "WakeBacklog"),
    "setting-aside": _calm("setting-aside", "lasts until the next free worker; what it costs is WakeDeadLetters"),
    "dead-lettered": Signal("wake_dead_letters", "WakeDeadLetters"),
    "nothing-waiting": Signal("wake_agents_with_work", None, "nothing is wrong: 0 agents with work"),
    "server-down": Signal("wake_store_up", "WakeServerDown"),
}
