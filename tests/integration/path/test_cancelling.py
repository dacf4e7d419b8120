"""Cancelling a heartbeat that runs, under real workers."""

from __future__ import annotations

import pytest

from dispatcher.cancelling import Cancelling
from dispatcher.core.errors import NotRunning
from tests.support.gates import wait_until
from tests.support.gateway import CALLABLE, PATIENCE_S, Gateway
from tests.support.recorder import lives

BY = "ann@vm"


def cancel(gateway: Gateway, *, retry: bool = False, reason: str = "") -> list[str]:
    acts = Cancelling(gateway.store, gateway.config)
    return [status for _, status in acts.cancel(acts.targets("ops"), BY, reason, retry=retry)]


@pytest.mark.parametrize(
    "pool", [{}, pytest.param({"pool_type": "prefork", "concurrency": 1}, marks=pytest.mark.slow)], ids=["threads", "prefork"]
)
def test_the_whole_group_ends_and_what_came_meanwhile_runs(gateway: Gateway, pool: dict[str, object]) -> None:
    """A command that ignores SIGTERM, with a child. The receipts and the letter say who; no renewal is waited for."""
    gateway.configure(pools={"agents": pool}, lease={"renew_ms": 9_000})
    gateway.plan(stubborn=True, child="child", gate="never")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    (first,) = gateway.started(1)
    wait_until(lambda: (gateway.folder / "child").exists(), PATIENCE_S, "it has a child")
    gateway.submit("c2")
    gateway.plan()
    assert cancel(gateway, reason="in circles") == ["CANCELLING"]
    gateway.quiet(settled=1, dead=1)
    assert not lives(first.pid)
    assert not lives(int((gateway.folder / "child").read_text()))
    (letter,) = gateway.store.ledger.dead_letters()
    assert (letter.completion_id, letter.reason, letter.errors) == ("c1", "cancelled", (f"cancelled by {BY}: in circles",))
    assert [beat.ids for beat in gateway.beats()] == [("c1",), ("c2",)]
    assert gateway.records()[:3] == ["begun", "cancel-asked", "dead-lettered"]
    with pytest.raises(NotRunning, match="nothing runs now"):
        cancel(gateway)


def test_to_run_it_again(gateway: Gateway) -> None:
    """The same batch, as its next attempt, at once."""
    gateway.plan(gate="never")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    gateway.started(1)
    gateway.plan()
    assert cancel(gateway, retry=True) == ["CANCELLING"]
    gateway.quiet(settled=1, dead=0)
    first, second = gateway.beats()
    assert (first.batch_id, first.attempt) == (second.batch_id, second.attempt - 1)
    assert gateway.records() == ["begun", "cancel-asked", "cancelled", "begun", "ran"]


@pytest.mark.slow
def test_a_callable_is_asked_and_its_answer_stands(gateway: Gateway) -> None:
    gateway.configure(defaults={"runner": CALLABLE})
    gateway.plan(gate="goes-on")
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    gateway.started(1)
    assert cancel(gateway) == ["CANCELLING"]
    wait_until(lambda: '"word": "cancel"' in (gateway.folder / "beats.jsonl").read_text(), PATIENCE_S, "it was asked")
    gateway.open("goes-on")
    gateway.quiet(settled=1, dead=0)
