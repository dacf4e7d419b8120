"""Versions side by side, as while hosts are upgraded one after the other."""

from __future__ import annotations

import json

import pytest

from dispatcher.core.errors import LayoutMismatch
from dispatcher.core.reported import read_body
from dispatcher.store.inbox import Submission
from dispatcher.store.layout import LAYOUT, check_layout
from dispatcher.store.scripts import scripts
from tests.support.store import AGENT, POOL, Rig


def test_a_newer_producer_is_understood(rig: Rig) -> None:
    """A later `v` and unknown fields are no reason to refuse: they are kept, and the rest counts."""
    body = json.dumps({"v": 7, "completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 1, "mood": "good"})
    rig.inbox.submit(Submission("c1", "digest", body), rig.now_ms)
    (entry,) = rig.inbox.claim("r1", 10).entries
    read = read_body(entry.body)
    assert (read.v, read.session_key, read.model_extra) == (7, "agent:ops:main", {"mood": "good"})


def test_a_worker_passes_over_what_a_newer_router_wrote_beside(rig: Rig) -> None:
    """In a waiting wake, and in the lineage of one; it is settled, and as a dead letter it comes back."""
    rig.wake("c1")
    ((seq, written),) = rig.client.hgetall(rig.key("wakes")).items()
    newer = json.loads(written) | {"mood": "good", "lineage": {"root": "c1", "depth": 2, "mood": "good"}}
    rig.client.hset(rig.key("wakes"), seq, json.dumps(newer))
    lease = rig.leased().lease
    batch = rig.begun(lease)
    (read,) = batch.wakes
    assert (read.wake_id, read.lineage and read.lineage.depth) == ("c1", 2)
    assert rig.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "no").status == "BURIED"
    assert rig.mailbox.revive(AGENT, POOL, "c1").status == "REVIVED"
    lease = rig.leased().lease
    rig.settle(lease, rig.begun(lease))
    assert rig.fate("c1") == "settled"


def test_steps_of_two_versions_work_side_by_side(rig: Rig) -> None:
    """Each is called by its digest: loading another version of a step changes nothing for whoever uses this one."""
    rig.wake("c1")
    source = scripts()["settle"].source
    other = rig.client.script_load(source + "\n-- as a later version has it")
    assert other != scripts()["settle"].sha
    lease = rig.leased().lease
    rig.settle(lease, rig.begun(lease))
    assert rig.client.script_exists(other, scripts()["settle"].sha) == [True, True]
    assert rig.fate("c1") == "settled"


def test_another_layout_is_refused(rig: Rig) -> None:
    check_layout(rig.client, rig.keys)
    rig.client.hset(rig.keys.layout, "layout", LAYOUT + 1)
    with pytest.raises(LayoutMismatch, match=f"layout is {LAYOUT + 1} there and {LAYOUT} here"):
        check_layout(rig.client, rig.keys)
