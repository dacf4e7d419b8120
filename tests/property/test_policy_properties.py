"""What holds of every decision: it ends, it is never in the past, and a more urgent wake makes nothing later."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.coalesce import merged, priority
from dispatcher.core.guards import budget_until, cooldown, due_delay_ms, flood_until, lineage_until
from dispatcher.core.lineage import caused_by, to_variable
from dispatcher.core.models import Intent, Lineage, Source, Wake
from dispatcher.core.policy import BuryParked, BuryTarget, Defer, RunParked, RunTarget, SetTick, decide
from dispatcher.core.rules import DEEP, HOUR_MS, MAX_LINEAGE_WAIT_MS, RIDER, Rules
from dispatcher.core.schedule import ActiveHours
from dispatcher.core.snapshot import Hold, Lane, Parked, Snapshot

NOW = 1_800_000_123_456
HOUR = NOW // HOUR_MS
INTENTS = ("manual", "immediate", "event", "task", "scheduled", RIDER, DEEP)
SESSIONS = ("agent:ops:main", "agent:ops:side")

lanes = st.builds(
    lambda intent, session, age, seq: Lane(intent, session, NOW - age // 2, 1, NOW - age, seq, 0),
    st.sampled_from(INTENTS),
    st.sampled_from(SESSIONS),
    st.integers(0, 90_000),
    st.integers(1, 99),
)
batches = st.builds(
    lambda n, session, intent, urgent, bypass, deliveries: Parked(
        f"ops-{n}", session, NOW - 1, NOW - 10 * n, intent, urgent, 1, 1, deliveries, bypass
    ),
    st.integers(1, 3),
    st.sampled_from(SESSIONS),
    st.sampled_from(["event", "immediate", "manual", "scheduled"]),
    st.sampled_from([None, "manual", "immediate"]),
    st.booleans(),
    st.sampled_from([1, 20]),
)
starts = st.lists(st.integers(NOW - 70_000, NOW), max_size=8).map(lambda s: tuple(sorted(s)))
spent = st.dictionaries(st.integers(HOUR - 25, HOUR), st.integers(0, 9), max_size=6).map(lambda found: tuple(sorted(found.items())))
hours = st.none() | st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda w: w[0] != w[1]).map(
    lambda w: ActiveHours.parse(f"{w[0]:02}:00", f"{w[1]:02}:00", "Europe/Berlin")
)  # fmt: skip
rules = st.builds(
    Rules,
    min_spacing_ms=st.sampled_from([0, 30_000]),
    flood_starts=st.integers(0, 6),
    max_wait_ms=st.sampled_from([0, 60_000]),
    budget_per_hour=st.integers(0, 5),
    budget_per_day=st.integers(0, 12),
    bury_over_budget=st.booleans(),
    interval_ms=st.sampled_from([0, 1_800_000]),
    hours=hours,
)
states = st.builds(
    lambda ln, parked, s, sp, depth, ahead: Snapshot(NOW, 9, s, tuple(ln), tuple(parked), NOW - ahead, NOW, None, (), sp, depth),
    st.lists(lanes, max_size=5, unique_by=lambda one: one[:2]),
    st.lists(batches, max_size=2, unique_by=lambda one: one.session_key),
    starts,
    spent,
    st.integers(0, 40),
    st.sampled_from([0, 3_600_000]),
)


def later(state: Snapshot, now_ms: int) -> Snapshot:
    """The same work at a later time."""
    return state._replace(now_ms=now_ms, real_ms=state.real_ms + now_ms - state.now_ms)


def settled_tick(state: Snapshot, numbers: Rules) -> Snapshot:
    """Once the cadence has moved on."""
    moved = decide(state, numbers)
    return state._replace(tick=moved.tick) if isinstance(moved, SetTick) else state


@settings(max_examples=150, deadline=None)
@given(states, rules)
def test_nothing_is_deferred_for_ever(state: Snapshot, numbers: Rules) -> None:
    """Whoever looks when the first deferral ends gets on: within a few looks and eight days something runs, or is set aside."""
    now_ms, kinds = state.now_ms, set()
    for _ in range(20):
        state = settled_tick(state, numbers)
        decision = decide(state, numbers)
        if not isinstance(decision, Defer):
            assert isinstance(decision, RunTarget | RunParked | BuryTarget | BuryParked)
            return
        if not (state.lanes or state.parked):
            return
        assert decision.deferrals
        assert all(one.until_ms > state.now_ms for one in decision.deferrals), "a deferral that is over already"
        kinds |= {one.kind for one in decision.deferrals}
        state = later(state, min(one.until_ms for one in decision.deferrals))
        assert state.now_ms < now_ms + 8 * 24 * HOUR_MS
    raise AssertionError(f"deferred again and again: {kinds}")


@settings(max_examples=100, deadline=None)
@given(states, rules, st.sampled_from(["paused", "draining"]), st.sampled_from([0, 1, 5_000, 3 * HOUR_MS]), st.booleans())
def test_a_hold_or_a_switch_looks_again_within_an_hour(state: Snapshot, numbers: Rules, what: str, until: int, enabled: bool) -> None:
    """What nothing but an operator changes is looked at again, later than now; and nothing runs meanwhile."""
    hold = Hold("ops", what, "", "", 0, state.real_ms + until if until else 0)
    held = state._replace(holds=(hold,))
    numbers = Rules(**{name: getattr(numbers, name) for name in numbers.__dataclass_fields__} | {"enabled": enabled})
    decision = decide(held, numbers)
    assert not isinstance(decision, RunTarget | RunParked)
    if isinstance(decision, Defer):
        assert {one.until_ms for one in decision.deferrals} <= set(range(NOW + 1, NOW + 5_001)) | {NOW + HOUR_MS}
        kinds = {one.kind for one in decision.deferrals}
        assert kinds == {"scheduled"} if what == "draining" else "manual" in kinds  # what comes while draining is set aside at once


@settings(max_examples=150, deadline=None)
@given(states, rules, st.sampled_from(["manual", "immediate"]), st.sampled_from(SESSIONS))
def test_a_more_urgent_wake_makes_nothing_later(state: Snapshot, numbers: Rules, intent: str, session: str) -> None:
    """What ran still runs something; what was deferred is deferred no longer than before, and a person's wake runs at once."""
    state = settled_tick(state, numbers)
    before = decide(state, numbers)
    more = [one for one in state.lanes if (one.intent, one.session_key) != (intent, session)]
    after = decide(state._replace(lanes=(*more, Lane(intent, session, NOW, 1, NOW, 100, 0))), numbers)
    if isinstance(before, RunTarget | RunParked | BuryTarget | BuryParked):
        assert not isinstance(after, Defer)
    elif isinstance(after, Defer):
        assert isinstance(before, Defer)
        assert set(before.deferrals) <= set(after.deferrals)
        assert intent == "immediate"
    else:
        assert isinstance(after, RunTarget)
        assert after.session_key == session


@settings(max_examples=100, deadline=None)
@given(states, rules, st.randoms(use_true_random=False))
def test_a_decision_does_not_depend_on_how_things_are_listed(state: Snapshot, numbers: Rules, chance: Random) -> None:
    """Lanes, batches and starts in any order: but for equals, which the order of arrival tells apart."""
    state = state._replace(lanes=tuple(one._replace(oldest_seq=n + 1) for n, one in enumerate(state.lanes)))
    shuffled = state._replace(
        lanes=tuple(chance.sample(state.lanes, len(state.lanes))), spent=tuple(chance.sample(state.spent, len(state.spent)))
    )
    first, second = decide(state, numbers), decide(shuffled, numbers)
    if isinstance(first, Defer):
        assert isinstance(second, Defer)
        assert set(first.deferrals) == set(second.deferrals)
    else:
        assert first == second


@given(st.sampled_from(INTENTS), starts, spent, rules, st.integers(0, 10**6), st.none() | st.integers(-5, 5))
def test_every_guard_ends_later_than_now(
    intent: str, recent: tuple[int, ...], counts: tuple[tuple[int, int], ...], numbers: Rules, depth: int, closed: int | None
) -> None:
    last = recent[-1] if recent else None
    closed_ms = None if closed is None else NOW + closed
    found = cooldown(intent, NOW, recent, last, None, numbers, spent=counts, closed_until_ms=closed_ms, depth=depth)
    assert found is None or found.until_ms > NOW
    flood = flood_until(recent, NOW, numbers.flood_starts, numbers.flood_window_ms)
    assert flood is None or NOW < flood <= NOW + numbers.flood_window_ms + 1
    assert lineage_until(NOW, depth, numbers) <= NOW + MAX_LINEAGE_WAIT_MS


@given(spent, st.integers(-1, 12), st.integers(-1, 30), st.integers(0, HOUR_MS - 1))
def test_a_budget_is_kept_and_frees_itself_within_a_day(
    counts: tuple[tuple[int, int], ...], per_hour: int, per_day: int, within: int
) -> None:
    """At the time it names it is free, at the full hour before it is not."""
    now = HOUR * HOUR_MS + within
    until = budget_until(counts, now, per_hour, per_day)
    if until is None:
        return
    assert now < until <= (HOUR + 24) * HOUR_MS
    assert budget_until(counts, until, per_hour, per_day) is None
    assert budget_until(counts, until - 1, per_hour, per_day) == until


@given(st.integers(0, 3_600_000), st.integers(-1, 3_600_000))
def test_an_urgent_wake_waits_for_nobody(quiet: int, window: int) -> None:
    own = Rules(quiet_ms=quiet, window_ms=window)
    waits = [due_delay_ms(intent, own) for intent in INTENTS]
    assert waits[0] == waits[1] == 0
    assert min(waits) == 0
    assert max(waits[2:5]) <= max(quiet, window, 0)


wakes = st.lists(
    st.builds(
        lambda source, intent, reason: Wake(wake_id="w", source=source, intent=intent, reason=reason, text="", accepted_at_ms=1),
        st.sampled_from(list(Source)),
        st.sampled_from(list(Intent)),
        st.sampled_from(["a", "b", "c"]),
    ),
    min_size=1,
    max_size=6,
)


@given(wakes, st.randoms(use_true_random=False))
def test_merging_depends_on_order_only_between_equals(some: list[Wake], chance: Random) -> None:
    """The immediacy never; reason and source where one priority is the highest alone. One more wake never makes it less urgent."""
    shuffled = chance.sample(some, len(some))
    assert merged(some)[1] == merged(shuffled)[1]
    highest = max(map(priority, some))
    if sum(priority(one) == highest for one in some) == 1:
        assert merged(some) == merged(shuffled)
    order = list(Intent)
    assert order.index(merged(some)[1]) <= order.index(merged(some[:1])[1])


@given(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True), st.from_regex(r"[!-~]{1,40}", fullmatch=True), st.integers(0, 999_998))
def test_a_chain_is_one_longer_with_each_heartbeat(agent_id: str, root: str, depth: int) -> None:
    found = caused_by(to_variable(agent_id, Lineage(root=root, depth=depth)))
    assert found == {"root": root, "depth": depth + 1, "agent_id": agent_id}
    assert Lineage.model_validate(found).depth == depth + 1


@given(st.text(max_size=40))
def test_any_text_in_the_environment_is_a_lineage_or_none(text: str) -> None:
    found = caused_by(text)
    assert found is None or (isinstance(found["depth"], int) and bool(found["root"]))
