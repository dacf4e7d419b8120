"""`wake cancel`, `wake acts`, and the dry run of `wake wake`."""

from __future__ import annotations

import getpass

from dispatcher.names import host_name
from tests.support.wake_cli import WakeCli

ME = f"{getpass.getuser()}@{host_name()}"


def test_cancel_one_heartbeat(wake: WakeCli) -> None:
    """First only said, then done, then known; each act has its receipt."""
    wake.deposit("c1")
    lease, batch = wake.begin()
    seen = {"agent_id": "ops", "pool": "agents", "batch_id": batch.batch_id, "token": lease.token, "holder": lease.holder}
    dry = wake.json("cancel", "OPS", "--dry-run")
    assert dry["heartbeats"] == [seen | {"status": None}]
    assert wake.store.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    done = wake.json("cancel", "ops", "--batch", batch.batch_id, "--reason", "in circles")
    assert done["heartbeats"] == [seen | {"status": "cancelling"}]
    assert (done["by"], done["wide"], done["retry"]) == (ME, False, False)
    assert wake.store.mailbox.renew_all([(lease, batch.batch_id)]) == ["CANCEL"]
    assert f"ops: {batch.batch_id} was cancelled before" in wake.run("cancel", "ops").out
    acts = wake.json("acts")["acts"]
    assert [(act["what"], act["selector"], act["by"], act["reason"], act["about"]) for act in acts] == [
        ("cancel", "ops", ME, "", batch.batch_id),
        ("cancel", "ops", ME, "in circles", batch.batch_id),
    ]
    assert "in circles" in wake.run("acts", "--newest", "2").out
    assert f"cancelled for good by {ME}: {batch.batch_id}: in circles" in "".join(
        told["says"] for told in wake.json("explain", "ops")["decisions"]
    )


def test_nothing_to_cancel(wake: WakeCli) -> None:
    wake.deposit("c1")
    nothing = wake.run("cancel", "ops")
    assert (nothing.code, "cancel ops: nothing runs now" in nothing.err) == (1, True)
    _, batch = wake.begin()
    other = wake.run("cancel", "ops", "--batch", "ops-1")
    assert (other.code, f"batch ops-1 does not run now ({batch.batch_id} does)" in other.err) == (1, True)
    assert wake.run("cancel", "nobody").code == 2
    assert wake.json("acts") == {"acts": []}


def test_a_wide_cancel_asks(wake: WakeCli) -> None:
    """Without a terminal it must be told --yes; only what is meant is told to end."""
    wake.deposit("c1")
    wake.deposit("c2", "agent:research:main")
    ops, batch = wake.begin()
    research, other = wake.begin("research")
    refused = wake.run("cancel", "pool:agents")
    assert (refused.code, "give --yes" in refused.err) == (2, True)
    assert len(wake.json("cancel", "pool:agents", "--dry-run")["heartbeats"]) == 2
    assert wake.json("cancel", "r*", "--yes")["heartbeats"][0]["agent_id"] == "research"
    held = [(ops, batch.batch_id), (research, other.batch_id)]
    assert wake.store.mailbox.renew_all(held) == ["RENEWED", "CANCEL"]


def test_every_act_leaves_a_receipt(wake: WakeCli) -> None:
    """Of a wide one and of a wake, too. A dry run leaves none, and does nothing."""
    assert wake.json("wake", "ops", "--dry-run") == {
        "agent_id": "ops",
        "session_key": "agent:ops:main",
        "intent": "manual",
        "dry_run": True,
    }
    assert "would be accepted: a wake (manual) for agent:ops:main" in wake.run("wake", "ops", "--dry-run").out
    assert (wake.json("acts"), wake.store.ledger.inbox_depth()) == ({"acts": []}, 0)
    woken = wake.json("wake", "ops", "--text", "look")
    wake.json("pause", "pool:quiet", "--reason", "deploy", "--for", "2h", "--yes")
    wake.json("resume", "pool:quiet", "--yes")
    wake.json("drain", "ops", "--reason", "moves")
    acts = [(act["what"], act["selector"], act["reason"], act["about"]) for act in wake.json("acts")["acts"]]
    assert acts == [
        ("draining", "ops", "moves", ""),
        ("resumed", "pool:quiet", "", f"paused by {ME}: deploy"),
        ("paused", "pool:quiet", "deploy", "for 2 h"),
        ("wake", "ops", "look", woken["completion_id"]),
    ]
    assert {act["by"] for act in wake.json("acts")["acts"]} == {ME}
