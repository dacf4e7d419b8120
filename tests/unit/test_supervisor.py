"""A process that cannot be started is tried again; the others are not ended for it."""

from __future__ import annotations

import logging
import sys

import pytest

from workers.supervisor import Child


def test_a_child_that_cannot_be_started_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    child = Child("worker agents", ["no-such-command"])
    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr(sys, "executable", "/nowhere/python")
        child.check()
        child.check()
        assert caplog.text.count("worker agents cannot be started") == 1, "it pauses"
        child.restart_at = 0.001
        child.check()
        assert caplog.text.count("worker agents cannot be started") == 2
        assert child.pause_s == 0.4
    child.restart_at = 0.001
    child.check()
    assert child.process
    assert child.process.stdin
    child.process.stdin.close()
    assert child.wait(60)
