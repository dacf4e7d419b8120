"""Wakes by hand through real workers: they do not wait for spacing, and a batch that waits for its retry runs before them."""

from __future__ import annotations

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway


def test_a_manual_wake_does_not_wait_for_the_spacing(gateway: Gateway) -> None:
    """By the bare task name of a foreign program too."""
    gateway.configure(defaults={"min_spacing_ms": 3_600_000})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    gateway.quiet(settled=1)
    gateway.submit("c2")
    wait_until(lambda: "deferred" in gateway.records(), PATIENCE_S, "the spacing holds c2 back")
    gateway.foreign(
        lambda app: app.send_task(
            "dispatcher.wake_requested", kwargs={"session_key": "agent:ops:main", "text": "now"}, task_id="w1", queue="wake.inbox"
        )
    )
    gateway.quiet(accepted=3, settled=3)
    assert [sorted(beat.ids) for beat in gateway.beats()] == [["c1"], ["c2", "w1"]]


def test_a_manual_wake_promotes_a_batch_that_waits_for_its_retry(gateway: Gateway) -> None:
    gateway.configure(defaults={"retry_base_ms": 3_600_000, "retry_max_ms": 3_600_000})
    gateway.plan(exit=1)
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    gateway.submit("c1")
    wait_until(lambda: "failed" in gateway.records(), PATIENCE_S, "the first attempt failed")
    gateway.plan(exit=0)
    gateway.foreign(lambda app: app.send_task("dispatcher.wake_requested", kwargs={"agent_id": "ops"}, task_id="w1", queue="wake.inbox"))
    gateway.quiet(settled=2)
    first, again, asked = gateway.beats()
    assert (first.batch_id, list(first.ids), list(asked.ids)) == (again.batch_id, ["c1"], ["w1"])
