"""The demo's verdict finds what it promises to find: each planted fault makes it say no."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatcher.cli.demo_verdict import Evidence, Heard, Planned, Verdict, judge

AGENTS = ("ops", "data")
PARTS = ("unrouted", "pending", "running", "settled", "suppressed", "dead", "dropped")


def books(**counts: int) -> dict[str, int]:
    return dict.fromkeys(PARTS, 0) | {"accepted": 4, "settled": 3, "dead": 1, "balance": 0} | counts


def turn(agent: str, batch: str, *ids: str) -> Heard:
    return Heard(agent, agent, f"agent:{agent}:main", batch, 1, ids)


GOOD = Evidence(
    planned=(
        Planned("o1", "agent:ops:main", "ops"),
        Planned("o2", "agent:ops:main", "ops"),
        Planned("d1", "node", "data"),
        Planned("x1", "stray", None, "unbound-key"),
    ),
    heard=(turn("ops", "b1", "o1", "o2"), turn("data", "b2", "d1")),
    fates={"o1": "settled", "o2": "settled", "d1": "settled", "x1": "dead"},
    dead={"x1": "unbound-key"},
    books=books(),
)


def verdict(**changes: object) -> Verdict:
    return judge(replace(GOOD, **changes), AGENTS)  # type: ignore[arg-type]  # the names are those of Evidence


def test_what_went_as_promised_is_said_to_have() -> None:
    found = verdict()
    assert (found.ok, list(found.problems)) == (True, [])
    assert (found.completions, found.heartbeats, found.ratio) == (3, 2, 1.5)
    assert found.document()["agents"] == {
        "ops": {"completions": 2, "heartbeats": 1, "foreign": 0},
        "data": {"completions": 1, "heartbeats": 1, "foreign": 0},
    }


def test_a_completion_in_another_agents_heartbeat_is_a_foreign_wake() -> None:
    found = verdict(heard=(*GOOD.heard, turn("data", "b3", "o1")))
    assert not found.ok
    assert list(found.foreign) == ["data got o1"]
    assert found.agents["data"].foreign == 1


def test_a_completion_that_went_to_another_agent_alone_is_lost_to_its_owner() -> None:
    found = verdict(heard=(turn("ops", "b1", "o1"), turn("data", "b2", "d1", "o2")))
    assert (list(found.foreign), list(found.lost)) == (["data got o2"], ["o2"])


@pytest.mark.parametrize("stranger", ["never-reported", "x1"])
def test_an_id_that_belongs_to_nobody_is_a_foreign_wake_for_everybody(stranger: str) -> None:
    found = verdict(heard=(*GOOD.heard, turn("ops", "b3", stranger)))
    assert (found.ok, list(found.foreign)) == (False, [f"ops got {stranger}"])


@pytest.mark.parametrize("change", [{"request_agent": "data"}, {"session_key": "agent:data:main"}, {"session_key": "node"}])
def test_a_request_that_names_another_agent_is_a_foreign_wake(change: dict[str, str]) -> None:
    found = verdict(heard=(replace(GOOD.heard[0], **change), GOOD.heard[1]))  # type: ignore[arg-type]  # texts, as the fields are
    assert (found.ok, len(found.foreign)) == (False, 1)


def test_a_completion_that_no_heartbeat_received_is_lost_whatever_the_books_say() -> None:
    found = verdict(heard=(turn("ops", "b1", "o1"), GOOD.heard[1]))
    assert (found.ok, list(found.lost)) == (False, ["o2"])


@pytest.mark.parametrize("fate", ["pending", "suppressed", "dropped", "unknown"])
def test_a_completion_that_did_not_settle_is_lost_whatever_the_heartbeat_received(fate: str) -> None:
    found = verdict(fates={**GOOD.fates, "o1": fate})
    assert (found.ok, list(found.lost)) == (False, ["o1"])
    assert fate in found.problems[0]


def test_a_completion_in_two_batches_is_a_problem_and_a_batch_that_ran_again_is_none() -> None:
    assert list(verdict(heard=(*GOOD.heard, turn("ops", "b9", "o1"))).repeated) == ["o1"]
    again = verdict(heard=(*GOOD.heard, replace(GOOD.heard[0], attempt=2)))
    assert (again.ok, again.further_attempts, again.completions) == (True, 1, 3)


@pytest.mark.parametrize("dead", [{}, {"x1": "unknown-agent"}, {**GOOD.dead, "o1": "worker-lost"}, {**GOOD.dead, "other": "unbound-key"}])
def test_dead_letters_are_the_expected_ones_with_the_expected_reasons(dead: dict[str, str]) -> None:
    assert not verdict(dead=dead).ok


@pytest.mark.parametrize(
    "counts", [{"balance": 1}, {"balance": -1}, {"accepted": 5}, {"accepted": 3}, {"pending": 1}, {"running": 1}, {"unrouted": 1}]
)
def test_books_that_do_not_balance_or_still_hold_work_are_a_problem(counts: dict[str, int]) -> None:
    assert not verdict(books=books(**counts)).ok


def test_unreadable_books_overlapping_turns_and_trouble_on_the_way_are_problems() -> None:
    assert not verdict(books={}).ok
    assert not verdict(overlaps=1).ok
    assert list(verdict(trouble=["a command was not reported"]).problems) == ["a command was not reported"]
