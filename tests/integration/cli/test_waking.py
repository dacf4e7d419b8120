"""`wake wake`: one turn of one agent, asked for by hand."""

from __future__ import annotations

import pytest

from tests.support.wake_cli import WakeCli


def test_the_main_session_by_default(wake: WakeCli) -> None:
    shown = wake.json("wake", "OPS", "--text", "look", "--id", "w1")
    assert (shown["completion_id"], shown["session_key"], shown["duplicate"]) == ("w1", "agent:ops:main", False)
    wake.route()
    assert wake.fate("w1") == "pending"
    assert wake.bells.rung == [("ops", "agents")]
    assert [w.text for w in wake.heartbeat().wakes] == ["look"]
    assert wake.json("trace", "w1")["fate"] == "settled"
    assert wake.json("wake", "ops", "--text", "look", "--id", "w1")["duplicate"] is True
    assert wake.balanced()


@pytest.mark.parametrize("session", ["side", "agent:ops:side", "Agent:OPS:side"])
def test_another_session_of_it(wake: WakeCli, session: str) -> None:
    done = wake.run("wake", "ops", "--session", session, "--intent", "event")
    assert done.code == 0
    assert "for agent:ops:side" in done.out
    wake.route()
    assert wake.store.ledger.balance().pending == 1


def test_a_bound_name_is_no_way_to_another_agent(wake: WakeCli) -> None:
    assert wake.json("wake", "ops", "--session", "node-lab")["session_key"] == "agent:ops:node-lab"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ghost",), "not configured"),
        (("off",), "disabled"),
        (("a b",), "no agent id"),
        (("ops", "--session", "agent:research:main"), "send one of them"),
        (("ops", "--session", "agent::x"), "malformed"),
        (("ops", "--intent", "scheduled"), "manual, immediate, event, task"),
        (("ops", "--id", "white space"), "wake_id"),
        (("ops", "--text", "x" * 20_000), "text"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(wake: WakeCli, words: tuple[str, ...], said: str) -> None:
    done = wake.run("wake", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert wake.store.ledger.inbox_depth() == 0
