"""A backup under load, the loss of everything after it, and the way back."""

from __future__ import annotations

import signal

import pytest

from dispatcher.cli.app import run
from tests.faults.test_up import Embedded, embedded
from tests.support.beats import assert_one_at_a_time
from tests.support.gateway import ids

__all__ = ["embedded"]
pytestmark = pytest.mark.slow


def test_what_was_accepted_before_a_backup_is_settled_after_its_return(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was doing then: lying in the inbox, waiting, running, or long settled. Later heartbeats have later tokens."""
    embedded.plan(seconds=0.05)
    supervisor = embedded.up()
    target = embedded.folder / "wake.rdb"
    monkeypatch.chdir(embedded.folder)
    early, at_once, late = ids("early", 40), ids("at-once", 40), ids("late", 40)
    embedded.submit(*early)
    embedded.quiet(settled=len(early))
    embedded.submit(*at_once)
    assert run(["backup", str(target)]) == 0
    embedded.submit(*late)
    embedded.quiet(settled=120)
    before = embedded.beats()
    supervisor.signal(signal.SIGTERM)
    assert supervisor.ends() == 0
    assert run(["restore", str(target)]) == 0
    embedded.up()
    embedded.quiet(accepted=80, settled=80)
    again = embedded.beats()[len(before) :]
    assert {i for beat in again for i in beat.ids} <= set(at_once), "what was settled before the backup does not run again"
    assert not again or min(beat.token for beat in again) > max(beat.token for beat in before)
    assert_one_at_a_time(embedded.beats())
    assert {embedded.store.ledger.where(i) for i in late} == {None}
