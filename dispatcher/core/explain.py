"""Why an agent runs or not now: the same decision as the worker's, on what the store knows, as words. Pure; times in and out are ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dispatcher.core.cause_words import AGENT_CAUSES, Words
from dispatcher.core.durations import duration_words
from dispatcher.core.guards import due_delay_ms
from dispatcher.core.inspected import Inspected
from dispatcher.core.policy import BuryParked, BuryTarget, Defer, RunParked, RunTarget, admission, decide, holding, next_tick
from dispatcher.core.rules import AGENT_DISABLED, BUDGET, CAP, DEAD_LETTERS_FULL, FLOOD, QUIET_HOURS, RELEASE, RIDER, Rules
from dispatcher.core.snapshot import Hold, Snapshot

Record = Mapping[str, Any]
GUARDS = {QUIET_HOURS, FLOOD, BUDGET, CAP, RELEASE, DEAD_LETTERS_FULL}  # what holds back a parked batch that is due


class Around(NamedTuple):
    """What stands around an agent: whether the configuration knows it, who serves it, and what lies before it."""

    known: bool
    routers: int
    workers: int
    holder_present: bool
    inbox: int
    caused: int


class Explanation(NamedTuple):
    """One answer. `since_ms` and `until_ms` are real time, None when nobody can say. `also`: other causes that would still hold."""

    cause: str
    says: str
    follows: str
    change: str
    since_ms: int | None
    until_ms: int | None
    waiting: int
    oldest_age_ms: int | None
    next_tick_ms: int | None
    caused_per_heartbeat: float | None
    also: tuple[str, ...]


class Cause(NamedTuple):
    """One cause in slot time, with what its words name."""

    word: str
    since_ms: int | None = None
    until_ms: int | None = None
    names: Mapping[str, object] = {}


def explain(seen: Inspected, around: Around, rules: Rules, records: Sequence[Record] = ()) -> Explanation:
    """`records`: the newest ledger lines of the agent, oldest first; they tell since when."""
    causes = [cause for cause in _causes(seen, around, rules, records) if cause]
    first, snapshot = causes[0], seen.snapshot
    now_ms, per_heartbeat = snapshot.now_ms, caused_per_heartbeat(around.caused, seen.heartbeats)
    tick = next_tick(rules, snapshot.real_ms or now_ms, snapshot.tick) if rules.enabled else None
    names: dict[str, object] = {
        "agent": seen.agent_id,
        "pool": seen.pool,
        "age": _length(first.since_ms, now_ms),
        "left": _length(now_ms, first.until_ms),
        "tick": f"in {duration_words(max(0, tick.next_ms - (snapshot.real_ms or now_ms)))}" if tick else "none, it has no cadence",
        "caused": "unknown" if per_heartbeat is None else per_heartbeat,
        "dead": seen.dead,
        "inbox": around.inbox,
    }
    words = Words(*(text.format_map({**names, **first.names}) for text in AGENT_CAUSES[first.word]))
    return Explanation(
        first.word,
        words.says,
        words.follows,
        words.change,
        None if first.since_ms is None else seen.real_ms(first.since_ms),
        None if first.until_ms is None else seen.real_ms(first.until_ms),
        seen.waiting,
        max(0, now_ms - seen.oldest_at_ms) if seen.oldest_at_ms else None,
        tick.next_ms if tick else None,
        per_heartbeat,
        tuple(dict.fromkeys(cause.word for cause in causes[1:] if cause.word != first.word)),
    )


def caused_per_heartbeat(caused: int, heartbeats: int) -> float | None:
    """How many completions a heartbeat of an agent causes, on average; None before its first."""
    return round(caused / heartbeats, 2) if heartbeats > 0 else None


def _causes(seen: Inspected, around: Around, rules: Rules, records: Sequence[Record]) -> list[Cause | None]:
    """The cause first, then whatever else would hold the agent back."""
    at_work = _lease(seen, around, records)
    later: list[Cause | None] = [_hold(seen), _not_enabled(around, rules), *(_waits(seen, rules, records) if seen.waiting else [])]
    unrouted = _unrouted(around)
    tick_due = seen.snapshot.tick is not None and seen.snapshot.tick.next_ms <= (seen.snapshot.real_ms or seen.snapshot.now_ms)
    if seen.waiting or seen.held or tick_due:
        workerless = None if around.workers else Cause("no-worker", seen.oldest_at_ms or None)
        found = [at_work if around.holder_present else None, workerless, at_work, *later, unrouted]
        return found if any(found) else [Cause("due")]
    return [*later, unrouted, Cause("dead-lettered") if seen.dead else Cause("nothing-waiting")]


def _lease(seen: Inspected, around: Around, records: Sequence[Record]) -> Cause | None:
    held, running = seen.held, seen.running
    if not held:
        return None
    batch = held.batch_id or "none begun"
    if not around.holder_present:
        return Cause("lease-dead", None, held.until_ms, {"holder": held.holder, "batch": batch})
    if not running:
        return Cause("lease-live", None, held.until_ms, {"holder": held.holder})
    began = [int(line["at"]) for line in records if line["what"] == "begun" and line["batch"] == batch]
    names = {"holder": held.holder, "batch": batch, "attempt": running.attempt, "n": running.size}
    return Cause("running", began[-1] if began else running.created_ms, None, names)


def _hold(seen: Inspected) -> Cause | None:
    hold = holding(seen.snapshot)
    if not hold:
        return None
    snapshot = seen.snapshot
    names = {
        "by": hold.by or "nobody known",
        "selector": hold.selector,
        "reason": hold.reason or "no reason given",
        "end": _end(hold, snapshot),
    }
    until_ms = snapshot.slot_ms(hold.until_ms) if hold.until_ms else None
    return Cause(hold.what, snapshot.slot_ms(hold.since_ms), until_ms, names)


def _end(hold: Hold, snapshot: Snapshot) -> str:
    left_ms = hold.until_ms - (snapshot.real_ms or snapshot.now_ms)
    return f"it ends by itself in {duration_words(max(0, left_ms))}" if hold.until_ms else "somebody resumes it"


def _not_enabled(around: Around, rules: Rules) -> Cause | None:
    return None if rules.enabled else Cause(AGENT_DISABLED if around.known else "unknown-agent")


def _unrouted(around: Around) -> Cause | None:
    if not around.inbox:
        return None
    return Cause("not-routed" if around.routers else "no-router")


def _waits(seen: Inspected, rules: Rules, records: Sequence[Record]) -> list[Cause]:
    """What the policy says of the work that waits, the first to end first."""
    snapshot = seen.snapshot
    if holding(snapshot) or not rules.enabled:
        return []
    decision = decide(snapshot._replace(tick=next_tick(rules, snapshot.real_ms or snapshot.now_ms, snapshot.tick)), rules)
    if isinstance(decision, BuryTarget | BuryParked):
        return [Cause("setting-aside", None, None, {"why": decision.reason})]
    if isinstance(decision, RunTarget | RunParked):
        return [_placeless(seen, rules, admission(snapshot, decision, rules) is not None, records) or Cause("due", snapshot.due_ms or None)]
    deferrals = decision.deferrals if isinstance(decision, Defer) else ()
    deferred = [_policy(seen, rules, d.reason, d.until_ms, records) for d in deferrals]
    found = [*deferred, *_parked(seen, rules, records), *_busy(seen), *_later(seen, rules)]
    return sorted(found, key=lambda cause: cause.until_ms or 0) or [Cause("due", snapshot.due_ms or None)]


def _placeless(seen: Inspected, rules: Rules, needs_place: bool, records: Sequence[Record]) -> Cause | None:
    """It may run and found no place: only its last question says so."""
    waits = [d for d in seen.deferrals if d.reason in (CAP, RELEASE) and d.until_ms > seen.snapshot.now_ms]
    return _policy(seen, rules, waits[0].reason, waits[0].until_ms, records) if waits and needs_place else None


def _policy(seen: Inspected, rules: Rules, reason: str, until_ms: int, records: Sequence[Record]) -> Cause:
    caps = {"everywhere": rules.all_cap, f"in pool {seen.pool}": rules.pool_cap}
    budgets = {"an hour": rules.budget_per_hour, "24 hours": rules.budget_per_day}
    names = {
        "hours": rules.hours or "",
        "spacing": duration_words(rules.min_spacing_ms),
        "window": duration_words(rules.flood_window_ms),
        "starts": rules.flood_starts,
        "budget": ", ".join(f"{count} in {span}" for span, count in budgets.items() if count > 0),
        "caps": ", ".join(f"{count} {where}" for where, count in caps.items() if count > 0),
        "rate": f"{rules.release_per_s:g}",
        "depth": seen.snapshot.depth,
        "max_depth": rules.max_lineage_depth,
    }
    return Cause(reason, _deferred_since(reason, records) or seen.oldest_at_ms or None, until_ms, names)


def _deferred_since(reason: str, records: Sequence[Record]) -> int | None:
    """When the deferrals with this reason began that nothing has interrupted since."""
    since = None
    for line in reversed(records):
        if line["what"] in ("held", "resumed", "ticked", "revived", "dropped", "mended"):
            continue
        if line["what"] != "deferred" or reason not in (why for _, _, why in line["detail"] or ()):
            break
        since = int(line["at"])
    return since


def _parked(seen: Inspected, rules: Rules, records: Sequence[Record]) -> list[Cause]:
    found = []
    for batch in seen.parked:
        if batch.not_before_ms <= seen.snapshot.now_ms:
            continue
        if batch.deferred in GUARDS:
            found.append(_policy(seen, rules, batch.deferred, batch.not_before_ms, records))
        elif batch.failures:
            names = {"batch": batch.batch_id, "failures": batch.failures, "max_failures": rules.max_failures}
            error = batch.errors[-1] if batch.errors else "no words"
            found.append(Cause("retry", _last_end(batch.batch_id, records), batch.not_before_ms, names | {"error": error}))
        else:
            names = {"session": batch.session_key, "why": "a retry met it"}
            found.append(Cause("busy", _last_end(batch.batch_id, records), batch.not_before_ms, names))
    return found


def _last_end(batch_id: str, records: Sequence[Record]) -> int | None:
    return next((int(line["at"]) for line in reversed(records) if line["batch"] == batch_id), None)


def _busy(seen: Inspected) -> list[Cause]:
    """Sessions that said so; a person's wake waits for less."""
    now_ms = seen.snapshot.now_ms
    untils = [(block, max(block.all_ms, block.rest_ms)) for block in seen.blocks if not block.batch_id]
    return [Cause("busy", None, until, {"session": b.session_key, "why": b.reason}) for b, until in untils if until > now_ms]


def _later(seen: Inspected, rules: Rules) -> list[Cause]:
    """Lanes whose time is still to come: most wait for company, some for the end of what kept their session busy."""
    snapshot, found = seen.snapshot, []
    for lane in snapshot.lanes:
        left_ms = lane.due_ms - snapshot.now_ms
        if left_ms <= 0:
            continue
        if lane.intent == RIDER:
            found.append(Cause("rider", lane.oldest_at_ms, lane.due_ms))
        elif left_ms > due_delay_ms(lane.intent, rules):
            found.append(Cause("busy", None, lane.due_ms, {"session": lane.session_key, "why": "it takes no turn now"}))
        else:
            found.append(Cause("window", lane.oldest_at_ms, lane.due_ms))
    return found


def _length(from_ms: int | None, to_ms: int | None) -> str:
    return "a while" if from_ms is None or to_ms is None else duration_words(max(0, to_ms - from_ms))
