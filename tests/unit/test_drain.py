"""One thread of a router drains at a time, and none waits for one that stays."""

from __future__ import annotations

from dispatcher.drain import Turn


def test_who_comes_while_somebody_is_at_it_leaves_word() -> None:
    turn = Turn()
    assert turn.begin()
    assert [turn.begin(), turn.begin()] == [False, False]
    assert not turn.end()  # once more, for both
    assert turn.end()
    assert turn.begin()


def test_nobody_came_nothing_is_left_to_do() -> None:
    turn = Turn()
    assert turn.begin()
    assert turn.end()


def test_word_that_was_left_in_an_earlier_turn_is_not_heard_in_the_next() -> None:
    turn = Turn()
    assert turn.begin()
    assert not turn.begin()
    turn.give_up()
    assert turn.begin()
    assert turn.end()
