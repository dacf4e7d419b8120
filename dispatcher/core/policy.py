"""When an agent runs: one pure decision on one snapshot.

Production, explanation, simulation and tests call it and no other copy of a rule. Times are ms on one clock, that of the agent's slot.
"""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.core.guards import NotBefore, cooldown, over_limits
from dispatcher.core.models import Intent
from dispatcher.core.rules import (
    ABANDONED_MS,
    AGENT_DISABLED,
    BUDGET,
    CAP,
    DEEP,
    DRAINING,
    KINDS,
    LOOK_AGAIN_MS,
    PAUSED,
    QUIET_HOURS,
    RELEASE,
    RIDER,
    TURN_ORDER,
    URGENCY,
    Rules,
)
from dispatcher.core.schedule import Cadence, resolve_due, seek_active
from dispatcher.core.snapshot import Deferral, Hold, Lane, Parked, Snapshot, Tick


class RunTarget(NamedTuple):
    """Open a new batch from these lanes of one session, filling it in this order."""

    session_key: str
    intents: tuple[str, ...]


class RunParked(NamedTuple):
    """Run a frozen batch again."""

    batch_id: str


class BuryTarget(NamedTuple):
    """What waits in these lanes of one session will not run any more: set it aside."""

    session_key: str
    intents: tuple[str, ...]
    reason: str


class BuryParked(NamedTuple):
    """A frozen batch killed its worker too often, was cancelled, or will not run any more: set it aside."""

    batch_id: str
    reason: str


class SetTick(NamedTuple):
    """The cadence moves on: its next tick, or none. `deposit`: one is due now and becomes a waiting wake, however many were missed."""

    tick: Tick | None
    deposit: bool
    why: str


class Defer(NamedTuple):
    """Nothing runs now. Empty: nothing is due, and the due index knows when to look."""

    deferrals: tuple[Deferral, ...]


Decision = RunTarget | RunParked | BuryTarget | BuryParked | SetTick | Defer


class Admission(NamedTuple):
    """A decision to run that needs a place first. `urgency`: unlike in URGENCY, 0 goes first. `late`: the bounded release counts it."""

    urgency: int
    since_ms: int
    late: bool

    @property
    def reason(self) -> str:
        return RELEASE if self.late else CAP


class _Ready(NamedTuple):
    rank: tuple[int, int, int]
    decision: RunTarget | RunParked | BuryTarget | BuryParked


def decide(snapshot: Snapshot, rules: Rules) -> Decision:
    """What the holder of the agent's lease does now: one target, one parked batch, its cadence, or nothing until a time.

    The most urgent goes first, among equals the oldest; who waited `max_wait_ms` goes before everyone younger.
    """
    hold = holding(snapshot)
    if hold and hold.what == DRAINING:
        # With nothing to set aside only a tick can be due. What comes is not to wait, so nothing else is bound.
        tick = Deferral(Intent.SCHEDULED.value, _hold_until(hold, snapshot), DRAINING)
        return _set_aside(snapshot, "drained", 0) or Defer((tick,))
    if not rules.enabled:
        if snapshot.tick:
            return SetTick(None, False, AGENT_DISABLED)
        until = snapshot.now_ms + LOOK_AGAIN_MS
        return _set_aside(snapshot, AGENT_DISABLED, ABANDONED_MS) or Defer(_bind_all(snapshot, AGENT_DISABLED, until))
    if hold:
        return Defer(_bind_all(snapshot, PAUSED, _hold_until(hold, snapshot)))
    if moved := _tick(snapshot, rules):
        return moved
    deferrals: dict[str, Deferral] = {}
    ready = [*_ready_parked(snapshot, rules, deferrals), *_ready_lanes(snapshot, rules, deferrals)]
    return min(ready, key=lambda item: item.rank).decision if ready else Defer(tuple(deferrals.values()))


def holding(snapshot: Snapshot) -> Hold | None:
    """The hold that binds now: draining before paused, the longest of them. One whose time is over binds nobody."""
    now_ms = snapshot.real_ms or snapshot.now_ms
    live = [hold for hold in snapshot.holds if not hold.until_ms or hold.until_ms > now_ms]
    return max(live, key=lambda hold: (hold.what == DRAINING, not hold.until_ms, hold.until_ms), default=None)


def admission(snapshot: Snapshot, decision: RunTarget | RunParked, rules: Rules) -> Admission | None:
    """Whether a decision to run needs a place: where heartbeats are capped, or when it is late while many others may be, too."""
    late = rules.release_per_s > 0 and rules.overdue_ms > 0 and 0 < snapshot.due_ms < snapshot.now_ms - rules.overdue_ms
    if not late and rules.all_cap <= 0 and rules.pool_cap <= 0:
        return None
    if isinstance(decision, RunParked):
        found = [(URGENCY[p.urgent or p.intent], p.created_at_ms) for p in snapshot.parked if p.batch_id == decision.batch_id]
    else:
        found = [(URGENCY[ln.intent], ln.oldest_at_ms) for ln in snapshot.lanes if ln.session_key == decision.session_key]
    urgency, since_ms = max(found, key=lambda one: (one[0], -one[1]), default=(0, snapshot.now_ms))
    return Admission(max(URGENCY.values()) - urgency, since_ms, late)


def no_place(snapshot: Snapshot, admission_of: Admission, wait_ms: int) -> tuple[Deferral, ...]:
    """The deferrals of an agent that found no place: caps bind every intent, a person's too."""
    return _bind_all(snapshot, admission_of.reason, snapshot.now_ms + max(1, wait_ms))


def next_tick(rules: Rules, real_ms: int, pending: Tick | None = None) -> Tick | None:
    """The next tick of this cadence, inside its active hours; a pending one of the same cadence that is still to come is kept.

    Where no whole interval falls into the active hours, as with a long one at an unlucky phase, it ticks when they begin.
    """
    if rules.interval_ms <= 0 or (rules.hours and rules.hours.is_never):
        return None
    kept = Cadence(rules.interval_ms, rules.phase_ms, pending.next_ms) if pending and pending.cadence == rules.cadence else None
    due_ms = resolve_due(real_ms, rules.interval_ms, rules.phase_ms, kept)
    due_ms = seek_active(due_ms, rules.interval_ms, rules.hours.is_active if rules.hours else None)
    if rules.hours and not rules.hours.is_active(due_ms):
        due_ms = rules.hours.opening(due_ms)
    return Tick(due_ms, rules.cadence)


def _tick(snapshot: Snapshot, rules: Rules) -> SetTick | None:
    pending, real_ms = snapshot.tick, snapshot.real_ms or snapshot.now_ms
    following = next_tick(rules, real_ms, pending)
    if following == pending:
        return None
    if pending is None or following is None or pending.cadence != rules.cadence:
        return SetTick(following, False, "cadence-changed")
    if rules.hours and not rules.hours.is_active(real_ms):
        return SetTick(following, False, QUIET_HOURS)
    return SetTick(following, True, "due")


def _ready_parked(snapshot: Snapshot, rules: Rules, deferrals: dict[str, Deferral]) -> list[_Ready]:
    ready = []
    for parked in snapshot.parked:
        if parked.not_before_ms > snapshot.now_ms:
            continue
        rank = _rank(parked.urgent or parked.intent, parked.created_at_ms, 0, snapshot.now_ms, rules)
        if parked.cancelled:
            ready.append(_Ready(rank, BuryParked(parked.batch_id, "cancelled")))
            continue
        kind = f"batch:{parked.batch_id}"
        if blocker := _parked_blocker(parked, snapshot, rules):
            deferrals[kind] = Deferral(kind, blocker.until_ms, blocker.reason)
            continue
        worn_out = parked.deliveries >= rules.max_deliveries > 0
        decision = BuryParked(parked.batch_id, "worker-lost") if worn_out else RunParked(parked.batch_id)
        ready.append(_Ready(rank, decision))
    return ready


def _ready_lanes(snapshot: Snapshot, rules: Rules, deferrals: dict[str, Deferral]) -> list[_Ready]:
    ready = []
    last = snapshot.starts_ms[-1] if snapshot.starts_ms else None
    for lane in snapshot.lanes:
        if lane.due_ms > snapshot.now_ms or lane.blocked_until_ms > snapshot.now_ms:
            continue
        kind = Intent.EVENT.value if lane.intent == RIDER else lane.intent
        closed = _closed_until(snapshot, rules)
        blocked = cooldown(
            kind, snapshot.now_ms, snapshot.starts_ms, last, None, rules, spent=snapshot.spent, closed_until_ms=closed, depth=snapshot.depth
        )
        rank = _rank(lane.intent, lane.oldest_at_ms, lane.oldest_seq, snapshot.now_ms, rules)
        if blocked is None:
            ready.append(_Ready(rank, _lane_run(lane)))
        elif blocked.reason == BUDGET and rules.bury_over_budget and lane.intent != Intent.SCHEDULED:
            ready.append(_Ready(rank, BuryTarget(lane.session_key, (lane.intent,), BUDGET)))
        else:
            deferrals[kind] = Deferral(kind, blocked.until_ms, blocked.reason)
    return ready


def _closed_until(snapshot: Snapshot, rules: Rules) -> int | None:
    real_ms = snapshot.real_ms or snapshot.now_ms
    if rules.hours is None or rules.hours.is_active(real_ms):
        return None
    return snapshot.slot_ms(rules.hours.opening(real_ms))


def _parked_blocker(parked: Parked, snapshot: Snapshot, rules: Rules) -> NotBefore | None:
    # A take-over is the same start; a retry obeys flood guard, budget and quiet hours, not spacing; a person does not wait.
    if parked.bypass or parked.urgent == Intent.MANUAL:
        return None
    if costly := over_limits(snapshot.now_ms, snapshot.starts_ms, snapshot.spent, rules):
        return costly
    closed = None if (parked.urgent or parked.intent) in (Intent.MANUAL, Intent.IMMEDIATE) else _closed_until(snapshot, rules)
    return NotBefore(closed, QUIET_HOURS) if closed is not None else None


def _lane_run(lane: Lane) -> RunTarget:
    # Task and event wakes of one target are two turns; everything else of the session rides along.
    return RunTarget(lane.session_key, (Intent.TASK, DEEP, RIDER) if lane.intent == Intent.TASK else TURN_ORDER)


def _rank(intent: str, since_ms: int, seq: int, now_ms: int, rules: Rules) -> tuple[int, int, int]:
    overdue = now_ms - since_ms >= rules.max_wait_ms > 0
    return (-max(URGENCY.values()) if overdue else -URGENCY[intent], since_ms, seq)


def _bind_all(snapshot: Snapshot, reason: str, until_ms: int) -> tuple[Deferral, ...]:
    kinds = [*KINDS, *(f"batch:{parked.batch_id}" for parked in snapshot.parked if parked.not_before_ms <= snapshot.now_ms)]
    return tuple(Deferral(kind, until_ms, reason) for kind in kinds)


def _hold_until(hold: Hold, snapshot: Snapshot) -> int:
    look = snapshot.now_ms + LOOK_AGAIN_MS
    return min(look, snapshot.slot_ms(hold.until_ms)) if hold.until_ms else look


def _set_aside(snapshot: Snapshot, reason: str, older_than_ms: int) -> BuryTarget | BuryParked | None:
    """What becomes dead letters next, one thing at a time: whatever has waited at least so long."""
    before = snapshot.now_ms - older_than_ms
    for parked in snapshot.parked:
        if parked.created_at_ms <= before:
            return BuryParked(parked.batch_id, reason)
    for lane in snapshot.lanes:
        if lane.oldest_at_ms <= before:
            return BuryTarget(lane.session_key, (lane.intent,), reason)
    return None
