"""When an agent runs, and what follows from how it went: pure functions of values and a given time.

Production, tests and simulation call these and no other copy of a rule. Times are ms on one clock, that of the agent's slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dispatcher.core.models import Busy, Failed, Intent, Outcome
from dispatcher.core.snapshot import Deferral, Lane, Parked, Snapshot

FLOOD = "flood"
MIN_SPACING = "min-spacing"
NOT_DUE = "not-due"
AGENT_DISABLED = "agent-disabled"
BUSY_BLOCK_MS = 1_000
BUSY_WAIT_MS = 60_000
LOOK_AGAIN_MS = 60_000
RIDER_AGE_MS = 86_400_000
RIDER = "rider"
URGENCY = {Intent.MANUAL: 3, Intent.IMMEDIATE: 2, Intent.EVENT: 1, Intent.TASK: 1, RIDER: 1, Intent.SCHEDULED: 0}
TURN_ORDER = (Intent.MANUAL, Intent.IMMEDIATE, Intent.EVENT, Intent.SCHEDULED, RIDER)


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of one agent. A spacing, window or flood count of 0 or less switches that guard off."""

    enabled: bool = True
    window_ms: int = 250
    min_spacing_ms: int = 30_000
    flood_starts: int = 5
    flood_window_ms: int = 60_000
    max_wait_ms: int = 60_000
    max_batch: int = 5_000
    max_failures: int = 5
    max_deliveries: int = 20
    retry_base_ms: int = 2_000
    retry_max_ms: int = 600_000


class NotBefore(NamedTuple):
    """A deferral of one intent: `until_ms` is later than now, `reason` one of the words above."""

    until_ms: int
    reason: str


class RunTarget(NamedTuple):
    """Open a new batch from these lanes of one session, filling it in this order."""

    session_key: str
    intents: tuple[str, ...]


class RunParked(NamedTuple):
    """Run a frozen batch again."""

    batch_id: str


class BuryParked(NamedTuple):
    """A frozen batch killed its worker too often: set it aside."""

    batch_id: str
    reason: str


class Defer(NamedTuple):
    """Nothing runs now. Empty: nothing is due, and the due index knows when to look."""

    deferrals: tuple[Deferral, ...]


Decision = RunTarget | RunParked | BuryParked | Defer


class Settle(NamedTuple):
    """The batch is done."""

    outcome: str


class Dissolve(NamedTuple):
    """The batch goes back to pending. `block_all_ms` binds the whole target, `block_rest_ms` all but manual wakes."""

    wait_ms: int
    block_all_ms: int
    block_rest_ms: int
    reason: str


class Wait(NamedTuple):
    """Busy, but an earlier attempt of this batch may have reached the model: it stays as it is, so that a receiver can tell."""

    delay_ms: int
    reason: str


class Retry(NamedTuple):
    """The same batch again, after `delay_ms`."""

    delay_ms: int
    error: str


class Bury(NamedTuple):
    """The batch becomes dead letters."""

    reason: str
    error: str


Sequel = Settle | Dissolve | Wait | Retry | Bury


def flood_until(starts_ms: Iterable[int], now_ms: int, flood_starts: int, flood_window_ms: int) -> int | None:
    """The end of a flood deferral, or None. A start exactly one window ago still counts; the order of the starts does not matter."""
    if flood_starts <= 0 or flood_window_ms <= 0:
        return None
    recent = sorted((s for s in starts_ms if now_ms - s <= flood_window_ms), reverse=True)
    return recent[flood_starts - 1] + flood_window_ms + 1 if len(recent) >= flood_starts else None


def cooldown(
    intent: str,
    now_ms: int,
    starts_ms: Sequence[int],
    last_start_ms: int | None,
    next_due_ms: int | None = None,
    rules: Rules = Rules(),  # frozen, so sharing the default is safe
) -> NotBefore | None:
    """The cooldown table, first match decides; None means run."""
    if intent == Intent.MANUAL:
        return None
    flood = flood_until(starts_ms, now_ms, rules.flood_starts, rules.flood_window_ms)
    if flood is not None:
        return NotBefore(flood, FLOOD)
    if intent == Intent.IMMEDIATE:
        return None
    if intent == Intent.SCHEDULED:
        return NotBefore(next_due_ms, NOT_DUE) if next_due_ms is not None and now_ms < next_due_ms else None
    if last_start_ms is None or rules.min_spacing_ms <= 0:
        return None
    free = last_start_ms + rules.min_spacing_ms
    return NotBefore(free, MIN_SPACING) if now_ms < free else None


def due_delay_ms(intent: str, rules: Rules) -> int:
    """How long a wake waits for company. Urgent ones do not; a rider becomes a wake of its own after its maximum age."""
    if intent == RIDER:
        return RIDER_AGE_MS
    return 0 if intent in (Intent.MANUAL, Intent.IMMEDIATE) else max(0, rules.window_ms)


def decide(snapshot: Snapshot, rules: Rules) -> Decision:
    """What the holder of the agent's lease does now: one target, one parked batch, or nothing until a time.

    The most urgent goes first, among equals the oldest; who waited `max_wait_ms` goes before everyone younger.
    """
    now = snapshot.now_ms
    if not rules.enabled:
        return Defer(_disabled(snapshot))
    deferrals: dict[str, Deferral] = {}
    ready: list[tuple[tuple[int, int, int], Decision]] = []
    for parked in snapshot.parked:
        if parked.not_before_ms <= now:
            blocker = _parked_blocker(parked, snapshot, rules)
            if blocker:
                deferrals[f"batch:{parked.batch_id}"] = Deferral(f"batch:{parked.batch_id}", blocker.until_ms, blocker.reason)
            else:
                ready.append((_rank(parked.urgent or parked.intent, parked.created_at_ms, 0, now, rules), _parked_run(parked, rules)))
    for lane in snapshot.lanes:
        if lane.due_ms <= now and lane.blocked_until_ms <= now:
            intent = Intent.EVENT if lane.intent == RIDER else lane.intent
            blocked = cooldown(intent, now, snapshot.starts_ms, snapshot.starts_ms[-1] if snapshot.starts_ms else None, None, rules)
            if blocked:
                deferrals[intent] = Deferral(intent, blocked.until_ms, blocked.reason)
            else:
                ready.append((_rank(lane.intent, lane.oldest_at_ms, lane.oldest_seq, now, rules), _lane_run(lane)))
    if ready:
        return min(ready, key=lambda item: item[0])[1]
    return Defer(tuple(deferrals.values()))


def sequel(outcome: Outcome, intent: str, attempt: int, failures: int, rules: Rules, jitter: float) -> Sequel:
    """What follows from a heartbeat's outcome. `attempt` is 1 for the first; `failures` counts those before it; `jitter` is in [0, 1)."""
    match outcome:
        case Busy():
            busy = _after_busy(outcome, intent)
            return busy if attempt <= 1 else Wait(busy.wait_ms, busy.reason)
        case Failed(final=True):
            return Bury("refused-by-runner", outcome.error)
        case Failed():
            if failures + 1 >= rules.max_failures > 0:
                return Bury("attempts-exhausted", outcome.error)
            return Retry(retry_delay_ms(failures, rules, jitter), outcome.error)
        case _:
            return Settle(outcome.kind)


def retry_delay_ms(failures: int, rules: Rules, jitter: float) -> int:
    """Doubling from the base, spread over ±20 %, never above the maximum."""
    delay = min(rules.retry_base_ms * 2 ** min(failures, 30), rules.retry_max_ms)
    return min(int(delay * (0.8 + 0.4 * jitter)), rules.retry_max_ms)


def _after_busy(outcome: Busy, intent: str) -> Dissolve:
    asked = outcome.retry_after_ms
    wait_only = outcome.reason in ("preempted", "channel-not-ready")
    patient = intent in (Intent.SCHEDULED, Intent.TASK) and outcome.reason != "cron-in-progress"
    if wait_only or patient:
        return Dissolve(BUSY_WAIT_MS if asked is None else asked, 0, 0, outcome.reason)
    return Dissolve(asked or BUSY_BLOCK_MS, BUSY_BLOCK_MS, max(asked or 0, BUSY_BLOCK_MS), outcome.reason)


def _parked_blocker(parked: Parked, snapshot: Snapshot, rules: Rules) -> NotBefore | None:
    # A take-over is the same start; a retry obeys the flood guard, not spacing; a person does not wait.
    if parked.bypass or parked.urgent == Intent.MANUAL:
        return None
    flood = flood_until(snapshot.starts_ms, snapshot.now_ms, rules.flood_starts, rules.flood_window_ms)
    return NotBefore(flood, FLOOD) if flood is not None else None


def _parked_run(parked: Parked, rules: Rules) -> Decision:
    if parked.deliveries >= rules.max_deliveries > 0:
        return BuryParked(parked.batch_id, "worker-lost")
    return RunParked(parked.batch_id)


def _lane_run(lane: Lane) -> RunTarget:
    # Task and event wakes of one target are two turns; everything else of the session rides along.
    return RunTarget(lane.session_key, (Intent.TASK, RIDER) if lane.intent == Intent.TASK else TURN_ORDER)


def _rank(intent: str, since_ms: int, seq: int, now_ms: int, rules: Rules) -> tuple[int, int, int]:
    overdue = now_ms - since_ms >= rules.max_wait_ms > 0
    return (-max(URGENCY.values()) if overdue else -URGENCY[intent], since_ms, seq)


def _disabled(snapshot: Snapshot) -> tuple[Deferral, ...]:
    until = snapshot.now_ms + LOOK_AGAIN_MS
    kinds = [intent.value for intent in Intent] + [f"batch:{parked.batch_id}" for parked in snapshot.parked]
    return tuple(Deferral(kind, until, AGENT_DISABLED) for kind in kinds)
