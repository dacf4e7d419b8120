"""A dead letter that is revived for another agent: cut short at any point, repeated by anybody, it wakes one agent, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.core.errors import NotRevived, StoreUnavailable
from dispatcher.core.models import Lease
from dispatcher.dead_letters import DeadLetters, expire
from dispatcher.store.doctoring import Doctor, Finding
from dispatcher.store.mailbox import Begun, Leased, NotLeased
from tests.support.desk import Desk
from tests.support.gates import wait_until

KEY = "node-x"
# Which call is the last of the reviver that dies, and whether it took effect.
CUTS = {
    "before the deposit": ("mailbox", "deposit_all", False),
    "after the deposit": ("mailbox", "deposit_all", True),
    "after the receipt": ("inbox", "reroute", True),
    "before the letter is taken": ("handoffs", "take", False),
    "after the letter is taken": ("handoffs", "take", True),
}


@pytest.fixture
def died(desk: Desk) -> str:
    """A completion whose key was bound to ops, and which is a dead letter of ops."""
    desk.store.bindings.bind(KEY, "ops")
    completion_id = desk.submit(session_key=KEY)
    desk.router().drain_inbox()
    bury(desk, "ops", completion_id)
    return completion_id


def letters_of(desk: Desk) -> DeadLetters:
    return DeadLetters(desk.store, desk.config, desk.bells, lambda: None)


def due(desk: Desk, agent_id: str) -> Leased | NotLeased | None:
    """Its lease, or why there is none; nothing while a window is open."""
    answer = desk.store.mailbox.acquire(agent_id, "agents", "h1", "n1")
    return None if isinstance(answer, NotLeased) and answer.status == "NOT_DUE" else answer


def begun(desk: Desk, agent_id: str) -> tuple[Lease, str, list[str]] | None:
    """Lease, batch and completions of the heartbeat that this agent takes now, if it has one to take."""
    mailbox = desk.store.mailbox
    leased = wait_until(lambda: due(desk, agent_id), 60, f"{agent_id} is due, or has nothing")
    if not isinstance(leased, Leased):
        return None
    target = leased.snapshot.lanes[0]
    batch = mailbox.begin(leased.lease, target.session_key, [target.intent], 10, 600_000)
    assert isinstance(batch, Begun)
    return leased.lease, batch.batch.batch_id, [wake.wake_id for wake in batch.batch.wakes]


def settle(desk: Desk, agent_id: str) -> list[str]:
    if not (turn := begun(desk, agent_id)):
        return []
    assert desk.store.mailbox.settle(turn[0], turn[1], "ran", {}).status == "SETTLED"
    return turn[2]


def bury(desk: Desk, agent_id: str, completion_id: str) -> None:
    turn = begun(desk, agent_id)
    assert turn
    assert turn[2] == [completion_id]
    assert desk.store.mailbox.bury(turn[0], turn[1], "attempts-exhausted", "boom").status == "BURIED"


def cut_short(desk: Desk, monkeypatch: pytest.MonkeyPatch, cut: str, completion_id: str) -> None:
    """A reviver that hears nothing any more at this point, and gives up."""
    part, name, takes_effect = CUTS[cut]
    real: Callable[..., Any] = getattr(getattr(desk.store, part), name)

    def lost(*args: Any) -> None:
        if takes_effect:
            real(*args)
        raise StoreUnavailable(f"{name}: no answer")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(desk.store, part), name, lost)
        with pytest.raises(StoreUnavailable):
            letters_of(desk).revive(completion_id)


def findings(desk: Desk, *, fix: bool = False) -> list[Finding]:
    return list(Doctor(desk.store, fix).findings(lambda reading: reading()))


@pytest.mark.parametrize(
    ("cut", "bound_to", "settled"),
    [
        ("before the deposit", "lab-3", False),
        ("after the deposit", "ops", False),
        ("after the deposit", "ops", True),
        ("after the deposit", "lab-3", False),
        ("after the deposit", "lab-3", True),
        ("after the deposit", None, True),
        ("after the receipt", "lab-3", True),
        ("before the letter is taken", "ops", False),
    ],
)
def test_whoever_owns_the_key_by_then_one_agent_wakes_once(
    desk: Desk, died: str, monkeypatch: pytest.MonkeyPatch, cut: str, bound_to: str | None, settled: bool
) -> None:
    desk.store.bindings.bind(KEY, "research")
    cut_short(desk, monkeypatch, cut, died)
    (letter,) = [one for one in desk.store.ledger.dead_letters() if one.completion_id == died]
    assert (letter.agent_id, letter.handoff_to) == ("ops", "research")
    ran = settle(desk, "research") if settled else []
    assert desk.store.ledger.balance().balance == 0
    if bound_to:
        desk.store.bindings.bind(KEY, bound_to)
    else:
        desk.store.bindings.unbind(KEY)
    with pytest.raises(NotRevived, match="research was interrupted"):
        letters_of(desk).drop(died)
    assert expire(desk.store, 10**15, 10) == 0
    assert letters_of(desk).revive(died).address.agent_id == "research"
    assert desk.dead() == {}
    assert [*ran, *settle(desk, "research")] == [died]
    assert [settle(desk, other) for other in ("ops", "lab-3")] == [[], []]
    assert desk.fate(died) == ("settled", "research")
    assert desk.store.ledger.balance().balance == 0
    assert findings(desk) == []


def test_a_marker_that_is_kept_for_nothing_is_found_and_let_go(desk: Desk, died: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is left when the reviver dies before its last step."""
    desk.store.bindings.bind(KEY, "research")
    cut_short(desk, monkeypatch, "after the letter is taken", died)
    assert desk.dead() == {}
    (found,) = findings(desk)
    assert (found.where, found.mended) == ("agent research in agents", False)
    assert [one.mended for one in findings(desk, fix=True)] == [True]
    assert findings(desk) == []


def test_it_dies_there_and_goes_on_to_a_third(desk: Desk, died: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two letters of one completion the older is completed first; then the newer one goes to whoever owns the key."""
    desk.store.bindings.bind(KEY, "research")
    cut_short(desk, monkeypatch, "after the deposit", died)
    bury(desk, "research", died)
    desk.store.bindings.bind(KEY, "lab-3")
    assert sorted(str(letter.agent_id) for letter in desk.store.ledger.dead_letters()) == ["ops", "research"]
    assert letters_of(desk).revive(died).address.agent_id == "lab-3"
    assert desk.dead() == {}
    desk.store.bindings.bind(KEY, "ops")
    bury(desk, "lab-3", died)
    assert letters_of(desk).revive(died).address.agent_id == "ops"
    assert settle(desk, "ops") == [died]
    assert desk.fate(died) == ("settled", "ops")
    assert (desk.store.ledger.balance().balance, findings(desk)) == (0, [])


def test_a_reviver_that_was_slow_deposits_nothing(desk: Desk, died: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its note and its deposit another one did it all, the wake ran, and its marker was forgotten."""
    desk.store.bindings.bind(KEY, "research")
    deposit_all = desk.store.mailbox.deposit_all

    def late(deposits: Any) -> Any:
        desk.store.mailbox.now_ms = desk.store.ledger.now_ms() + desk.store.limits.max_hold_ms + 1_000
        return deposit_all(deposits)

    monkeypatch.setattr(desk.store.mailbox, "deposit_all", late)
    with pytest.raises(NotRevived, match="TOO_LATE"):
        letters_of(desk).revive(died)
    assert settle(desk, "research") == []
