"""What a worker says it did is what it did: a batch that it could not set aside, a turn for which there is no runner."""

from __future__ import annotations

import logging

import pytest

from dispatcher.core.models import Failed, Lease
from dispatcher.core.rules import DRAINING
from dispatcher.core.snapshot import Hold
from dispatcher.heartbeat import Heartbeats, NotStarted
from tests.support.desk import Desk
from tests.support.shift import TOML, Scripted, Shift


@pytest.mark.parametrize("stolen", [False, True])
def test_only_what_was_buried_is_told_as_dead_lettered(desk: Desk, stolen: bool) -> None:
    """A lease that was taken away in between buries nothing."""
    shift = Shift(desk, ops=Scripted(Failed(error="boom")))
    shift.came("c1")
    assert shift.beat() == "failed"
    desk.store.holds.put("ops", "agents", Hold("ops", DRAINING, "gone", "a@b", 1, 0), "a@b")
    key = desk.store.keys.agent("agents", "ops")["lease"]

    def on_lease(lease: Lease) -> None:
        if stolen:
            desk.store.client.hset(key, "token", lease.token + 1)

    beats = Heartbeats(desk.store, shift.config, "agents", "h1", lambda step, _seconds: step(), lambda _: 1_000, 28.0)
    done = beats.begin("ops", "n1", on_lease)
    assert isinstance(done, NotStarted)
    assert (done.did, done.detail) == (("not-buried", "STALE_TOKEN") if stolen else ("dead-lettered", "drained"))
    assert ("dead-lettered" in [what for what, _ in shift.records()]) is not stolen


def test_an_agent_without_a_runner_is_told_so(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """No runner raised anything, and there is no traceback to look for."""
    shift = Shift(desk, TOML.replace('runner = { type = "command", command = ["true"] }\n', ""))
    shift.came("c1")
    with caplog.at_level(logging.ERROR):
        assert shift.beat() == "failed"
    ((what, detail),) = shift.records()[1:]
    assert what == "failed"
    assert "agent ops has no runner; set runner in [defaults] or [agents.ops]" in detail["error"]
    assert "LookupError" not in detail["error"]
    assert [record.exc_info for record in caplog.records if "no runner" in record.getMessage()] == [None]
