"""A storm of the same line becomes a few lines and a count that is right."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workers.log_limit import Limiter


def test_a_burst_is_said_and_the_rest_is_counted_once() -> None:
    limiter: Limiter[str] = Limiter(3, 10.0)
    assert [limiter.admits("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert limiter.admits("b", 0.0), "another kind has a burst of its own"
    assert limiter.overdue(9.9) == []
    assert limiter.overdue(10.0) == [("a", 2)]
    assert limiter.overdue(10.0) == []
    assert limiter.admits("a", 10.0)


def test_the_window_counts_from_its_first_line_and_does_not_slide() -> None:
    limiter: Limiter[str] = Limiter(1, 10.0)
    assert limiter.admits("a", 0.0)
    assert not limiter.admits("a", 9.0)
    assert limiter.overdue(10.0) == [("a", 1)]
    assert limiter.admits("a", 10.0)


def test_at_the_end_everything_is_told() -> None:
    limiter: Limiter[str] = Limiter(1, 10.0)
    for kind in "aab":
        limiter.admits(kind, 0.0)
    assert limiter.overdue(1.0, all_of_them=True) == [("a", 1)]


def test_many_kinds_cost_bounded_memory_and_forget_no_count() -> None:
    limiter: Limiter[int] = Limiter(1, 10.0, kinds=2)
    for kind in (1, 1, 2, 3):
        limiter.admits(kind, 0.0)
    assert limiter.overdue(0.0) == [(1, 1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 4))), st.integers(1, 4), st.integers(1, 4))
def test_every_line_is_said_or_counted(lines: list[tuple[int, float]], burst: int, kinds: int) -> None:
    """Whatever comes when: said + told = all, and no more than the burst is said in a window."""
    limiter: Limiter[int] = Limiter(burst, 5.0, kinds)
    now_s, said, told = 0.0, Counter[int](), Counter[int]()
    for kind, pause_s in lines:
        now_s += pause_s
        for found, count in limiter.overdue(now_s):
            told[found] += count
        said[kind] += limiter.admits(kind, now_s)
    for found, count in limiter.overdue(now_s, all_of_them=True):
        told[found] += count
    assert said + told == Counter(kind for kind, _ in lines)
