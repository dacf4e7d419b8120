"""The one way to wait in a test."""

from __future__ import annotations

import pytest

from tests.support.gates import wait_until


def test_it_returns_the_first_true_answer() -> None:
    answers = iter([None, 0, "", "here", "later"])
    assert wait_until(lambda: next(answers), 5, "an answer", every_s=0.001) == "here"


def test_it_fails_with_what_was_waited_for_and_the_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"^not within 0\.01 s: the bell \(last answer: \[\]\)$"):
        wait_until(list, 0.01, "the bell", every_s=0.001)


def test_the_predicate_has_a_last_chance_after_the_deadline() -> None:
    answers = iter([False, True])
    assert wait_until(lambda: next(answers), 0, "a late answer") is True


def test_an_error_of_the_predicate_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 // 0, 5, "never")
