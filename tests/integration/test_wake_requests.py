"""Wakes that somebody asks for go the way of the completions: durable, routed to one owner, in the same books."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dispatcher
from dispatcher.app import current_store, forget_current
from dispatcher.core.errors import IdConflict, InvalidCompletion
from dispatcher.core.models import Fate
from dispatcher.dead_letters import DeadLetters
from dispatcher.store.inbox import Submission
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.submit import submission_of, submit_wake, wake_request_of
from tests.support.desk import Desk


def ask(desk: Desk, **words: Any) -> str:
    request = wake_request_of({"session_key": "agent:ops:main"} | words)
    desk.store.inbox.submit(submission_of(request))
    return request.wake_id


def begun(desk: Desk, agent_id: str = "ops") -> Begun:
    leased = desk.store.mailbox.acquire(agent_id, "agents", "h", "n")
    assert isinstance(leased, Leased), leased
    found = desk.store.mailbox.begin(leased.lease, f"agent:{agent_id}:main", ("manual", "immediate", "event", "task"), 10, 1000)
    assert isinstance(found, Begun)
    return found


def test_a_manual_wake_is_due_at_once_and_rung(desk: Desk) -> None:
    wake_id = ask(desk, text="look", reason="asked")
    desk.router().drain_inbox()
    assert desk.fate(wake_id) == (Fate.PENDING, "ops")
    assert desk.bells.rung == [("ops", "agents")]
    (wake,) = begun(desk).batch.wakes
    assert (wake.wake_id, wake.intent, wake.source, wake.reason, wake.text) == (wake_id, "manual", "manual", "asked", "look")


@pytest.mark.parametrize(("intent", "rung"), [("immediate", True), ("event", False), ("task", False)])
def test_the_window_of_its_intent_holds(desk: Desk, intent: str, rung: bool) -> None:
    ask(desk, intent=intent)
    desk.router().drain_inbox()
    assert bool(desk.bells.rung) is rung
    assert desk.store.client.exists(desk.store.keys.agent("agents", "ops")[f"lane_{intent}"])


def test_a_subagents_session_is_woken_when_somebody_asks(desk: Desk) -> None:
    ask(desk, session_key="agent:ops:subagent:helper")
    desk.router().drain_inbox()
    assert desk.bells.rung == [("ops", "agents")]


def test_the_same_id_counts_once_and_is_shared_with_completions(desk: Desk) -> None:
    first, _ = desk.store.inbox.submit(submission_of(wake_request_of({"wake_id": "x", "session_key": "agent:ops:main"})))
    again, _ = desk.store.inbox.submit(submission_of(wake_request_of({"wake_id": "x", "session_key": "Agent:OPS:main"})))
    assert (again.duplicate, again.entry_id) == (True, first.entry_id)
    with pytest.raises(IdConflict):
        desk.submit(completion_id="x", session_key="agent:ops:main", exit_code=None)
    desk.router().drain_inbox()
    assert desk.store.ledger.balance().pending == 1


def test_one_without_an_owner_is_a_dead_letter_and_is_revived_as_what_it_was(desk: Desk) -> None:
    wake_id = ask(desk, session_key="node-x", intent="immediate", text="from node x", token="t" * 10)
    desk.router().drain_inbox()
    assert desk.dead() == {wake_id: "unbound-key"}
    assert "t" * 10 not in str(desk.store.client.hgetall(desk.store.keys.inbox["dead"]))
    desk.store.bindings.bind("node-x", "ops")
    letters = DeadLetters(desk.store, desk.config, desk.bells, lambda: None)
    assert letters.revive(wake_id).address.agent_id == "ops"
    desk.router().drain_inbox()
    assert desk.fate(wake_id) == (Fate.PENDING, "ops")
    assert desk.store.client.exists(desk.store.keys.agent("agents", "ops")["lane_immediate"])


def test_one_that_was_buried_is_revived_into_its_lane(desk: Desk) -> None:
    wake_id = ask(desk)
    desk.router().drain_inbox()
    leased = desk.store.mailbox.acquire("ops", "agents", "h", "n")
    assert isinstance(leased, Leased)
    batch = desk.store.mailbox.begin(leased.lease, "agent:ops:main", ("manual",), 10, 1000)
    assert isinstance(batch, Begun)
    assert desk.store.mailbox.bury(leased.lease, batch.batch.batch_id, "attempts-exhausted", "no").status == "BURIED"
    assert desk.dead() == {wake_id: "attempts-exhausted"}
    DeadLetters(desk.store, desk.config, desk.bells, lambda: None).revive(wake_id)
    assert [wake.wake_id for wake in begun(desk).batch.wakes] == [wake_id]


def test_an_entry_of_a_later_kind_is_set_aside(desk: Desk) -> None:
    desk.store.inbox.submit(Submission("c", "d", '{"kind": "later", "completion_id": "c", "session_key": "agent:ops:main"}'))
    desk.router().drain_inbox()
    assert desk.dead() == {"c": "invalid-completion"}


@pytest.fixture
def configured(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process is a producer of the desk's store."""
    monkeypatch.setenv("WAKE_CONFIG", str(desk.folder / "wake.toml"))
    monkeypatch.setenv("WAKE_REDIS_URL", desk.url)
    forget_current()
    yield desk.folder
    forget_current()


@pytest.mark.usefixtures("configured")
def test_delay_is_durable_and_tells_its_fate(desk: Desk) -> None:
    result = dispatcher.wake_requested.delay(session_key="agent:ops:main", text="look")
    assert result.receipt
    assert result.fate() is Fate.ACCEPTED
    desk.router().drain_inbox()
    assert result.fate() is Fate.PENDING
    assert dispatcher.wake_requested.apply_async(kwargs={"agent_id": "ops"}, task_id="by-task-id").id == "by-task-id"
    current_store().inbox.prepare()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("words", [{"intent": "scheduled"}, {"wake_id": ""} | {"session_key": 5}, {"kind": "exec"}])
def test_what_is_no_wake_is_refused_before_anything_is_written(desk: Desk, words: dict[str, Any]) -> None:
    with pytest.raises(InvalidCompletion, match="nothing was written"):
        dispatcher.wake_requested.delay(**words)
    assert desk.store.ledger.inbox_depth() == 0


@pytest.mark.usefixtures("configured")
def test_submit_wake_names_its_configuration(desk: Desk) -> None:
    receipt = submit_wake({"agent_id": "ops", "wake_id": "w"}, str(desk.folder / "wake.toml"))
    assert (receipt.completion_id, receipt.duplicate) == ("w", False)
    desk.router().drain_inbox()
    assert desk.fate("w") == (Fate.PENDING, "ops")
