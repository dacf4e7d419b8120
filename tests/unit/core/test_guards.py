"""The guards one by one, and the small functions around them: budgets, chains, durations."""

from __future__ import annotations

import pytest

from dispatcher.core.durations import duration_words, parse_duration_ms
from dispatcher.core.guards import NotBefore, budget_until, cooldown, due_delay_ms, lineage_until
from dispatcher.core.lineage import caused_by, deepest, lineage_of, to_variable
from dispatcher.core.models import ExecCompletion, Intent, Lineage, Source, Wake
from dispatcher.core.rules import BUDGET, DEEP, FLOOD, HOUR_MS, LINEAGE, MAX_LINEAGE_WAIT_MS, QUIET_HOURS, RIDER, Rules

HOUR = 500
NOW = HOUR * HOUR_MS + 1_000
FIVE = tuple(NOW - n for n in (5, 4, 3, 2, 1))
SPENT = ((HOUR, 3),)


@pytest.mark.parametrize(
    ("spent", "per_hour", "per_day", "hour"),
    [
        ((), 1, 1, None),
        (((HOUR, 2),), 3, 0, None),
        (((HOUR, 3),), 3, 0, HOUR + 1),
        (((HOUR, 9),), 3, 0, HOUR + 1),
        (((HOUR - 1, 9),), 3, 0, None),
        (((HOUR, 9),), 0, 0, None),
        (((HOUR, 9),), -1, -1, None),
        (((HOUR - 23, 2), (HOUR, 1)), 0, 3, HOUR + 1),
        (((HOUR - 24, 9), (HOUR, 1)), 0, 3, None),
        (((HOUR - 23, 1), (HOUR - 2, 1), (HOUR, 2)), 0, 3, HOUR + 22),
        (((HOUR, 3),), 0, 3, HOUR + 24),
        (((HOUR, 3),), 3, 4, HOUR + 1),
        (((HOUR, 3), (HOUR - 5, 1)), 3, 4, HOUR + 19),
        (((HOUR, 3), (HOUR + 1, 9)), 4, 0, None),
    ],
)
def test_a_budget_frees_itself_at_full_hours(spent: tuple[tuple[int, int], ...], per_hour: int, per_day: int, hour: int | None) -> None:
    """The hour is that of the clock; the day is the last 24 of them, so the oldest falls out first."""
    assert budget_until(spent, NOW, per_hour, per_day) == (None if hour is None else hour * HOUR_MS)


@pytest.mark.parametrize(
    ("intent", "expected"), [("manual", None), *((intent, BUDGET) for intent in ("immediate", "event", "task", "scheduled", DEEP))]
)
def test_a_budget_holds_back_everything_but_a_person(intent: str, expected: str | None) -> None:
    blocked = cooldown(intent, NOW, (), None, None, Rules(budget_per_hour=3), spent=SPENT)
    assert (blocked.reason if blocked else None) == expected


def test_the_flood_guard_comes_before_the_budget_and_that_before_quiet_hours() -> None:
    rules, closed = Rules(budget_per_hour=3), NOW + 9 * HOUR_MS
    assert cooldown("event", NOW, FIVE, NOW - 1, None, rules, spent=SPENT, closed_until_ms=closed) == NotBefore(NOW - 5 + 60_001, FLOOD)
    assert cooldown("event", NOW, (), None, None, rules, spent=SPENT, closed_until_ms=closed) == NotBefore((HOUR + 1) * HOUR_MS, BUDGET)
    assert cooldown("event", NOW, (), None, None, Rules(), closed_until_ms=closed) == NotBefore(closed, QUIET_HOURS)


@pytest.mark.parametrize(
    ("intent", "waits"), [("manual", False), ("immediate", False), ("event", True), ("task", True), ("scheduled", True), (DEEP, True)]
)
def test_quiet_hours_bind_what_nobody_asked_for_now(intent: str, waits: bool) -> None:
    assert (cooldown(intent, NOW, (), None, closed_until_ms=NOW + 1) is not None) is waits
    assert cooldown(intent, NOW, (), None, closed_until_ms=NOW) is None


def test_a_chain_that_is_too_long_waits_longer_with_each_step() -> None:
    """30 s, 1 min, 2 min, … up to an hour; however deep, it is a time and no overflow."""
    waits = [lineage_until(NOW, depth, Rules()) - NOW for depth in range(7, 20)]
    assert waits == [30_000, 30_000, 30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, *[MAX_LINEAGE_WAIT_MS] * 4]
    assert lineage_until(NOW, 1_000_000, Rules()) == NOW + MAX_LINEAGE_WAIT_MS


def test_a_deep_wake_obeys_its_own_spacing() -> None:
    """Not that of events; an agent that never ran has nothing to be spaced from."""
    assert cooldown(DEEP, NOW, (), NOW - 59_999, depth=10) == NotBefore(NOW + 1, LINEAGE)
    assert cooldown(DEEP, NOW, (), NOW - 60_000, depth=10) is None
    assert cooldown(DEEP, NOW, (), None, depth=99) is None


def test_how_long_a_wake_waits_for_company() -> None:
    """Urgent ones do not; with a quiet time that is what is waited for; a rider rides for a day."""
    rules = Rules(window_ms=250, quiet_ms=2_000)
    assert [due_delay_ms(intent, rules) for intent in ("manual", "immediate", "event", DEEP, RIDER)] == [0, 0, 2_000, 2_000, 24 * HOUR_MS]
    assert due_delay_ms("event", Rules(window_ms=-1)) == 0


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("0s", 0),
        ("250ms", 250),
        ("90s", 90_000),
        ("30m", 1_800_000),
        (" 1H30m ", 5_400_000),
        ("2d", 172_800_000),
        ("1m1ms", 60_001),
    ],
)
def test_durations_as_people_write_them(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "m", "-1m", "1.5h", "1 h", "1h 30m", "1w", "٣m", "9999999999s", "1m,2s", "30min"])
def test_what_is_no_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match='write one like "30m"'):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"), (999, "999 ms"), (1_000, "1 s"), (12_400, "12.4 s"), (60_000, "1 min"), (61_000, "1 min 1 s"), (3_600_000, "1 h"),
        (3_900_000, "1 h 5 min"), (3_601_000, "1 h"), (90_000_000, "1 d 1 h"), (86_400_000 + 60_000, "1 d"), (59_999, "60 s"),
    ],
)  # fmt: skip
def test_durations_for_people(ms: int, words: str) -> None:
    """The two largest units."""
    assert duration_words(ms) == words


def wake(wake_id: str, depth: int | None) -> Wake:
    lineage = None if depth is None else Lineage(root=f"root-{wake_id}", depth=depth)
    return Wake(wake_id=wake_id, source=Source.OTHER, intent=Intent.EVENT, reason="r", text="", accepted_at_ms=1, lineage=lineage)


def test_a_heartbeat_has_the_lineage_of_its_deepest_member() -> None:
    """The newer one on a tie; one without any says nothing."""
    assert deepest([wake("a", 1), wake("b", 3), wake("c", 3), wake("d", None)]) == Lineage(root="root-c", depth=3)
    assert deepest([wake("a", None)]) is None
    assert deepest([]) is None


def test_what_a_heartbeat_hands_down_comes_back_one_deeper() -> None:
    variable = to_variable("ops", Lineage(root="c:1:x", depth=4, agent_id="lab"))
    assert variable == "4:ops:c:1:x"
    assert caused_by(variable) == {"root": "c:1:x", "depth": 5, "agent_id": "ops"}
    assert to_variable("ops", None) == ""


@pytest.mark.parametrize(
    "garbled", ["", "x", "4", "4:", "4:ops", "4:ops:", "4::c", ":ops:c", "-1:ops:c", "1e3:ops:c", "٣:ops:c", "1234567:ops:c", "²:ops:c"]
)
def test_a_garbled_lineage_is_none(garbled: str) -> None:
    """Whoever wrote into the environment cannot break a report."""
    assert caused_by(garbled) is None


@pytest.mark.parametrize(
    "said",
    [None, {}, {"depth": 1}, {"root": ""}, {"root": "r", "depth": -1}, {"root": "r", "depth": "9"}, {"root": "r", "depth": 10**9},
     {"root": "r", "agent_id": "no id"}, {"root": "ä"}],
)  # fmt: skip
def test_a_completion_without_a_usable_lineage_begins_a_chain(said: dict[str, object] | None) -> None:
    assert lineage_of(ExecCompletion(completion_id="c1", lineage=said)) == Lineage(root="c1")


def test_a_completion_says_whose_heartbeat_caused_it() -> None:
    said = {"root": "c0", "depth": 2, "agent_id": "ops"}
    assert lineage_of(ExecCompletion(completion_id="c1", lineage=said)) == Lineage(root="c0", depth=2, agent_id="ops")
