"""`wake trace`: the story of one completion."""

from __future__ import annotations

from typing import Any

from dispatcher.core.snapshot import Deferral
from dispatcher.store.mailbox import Leased
from tests.support.wake_cli import WakeCli

HEAD = {"completion_id", "fate", "agent_id", "via", "accepted_at_ms", "batch_id", "events"}


def trace(wake: WakeCli, completion_id: str = "c1") -> tuple[str, list[str], dict[str, Any]]:
    """(fate, the events in order, the document)."""
    shown = wake.json("trace", completion_id)
    assert set(shown) == HEAD
    times = [event["at_ms"] for event in shown["events"] if event["at_ms"] is not None]
    assert times == sorted(times)
    return shown["fate"], [event["what"] for event in shown["events"]], shown


def test_an_unknown_id(wake: WakeCli) -> None:
    done = wake.run("trace", "nobody", "--json")
    assert done.code == 1
    assert set(done.document) == {"error"}
    assert "nobody" in wake.run("trace", "nobody").err


def test_a_completion_on_its_way(wake: WakeCli) -> None:
    wake.submit("c1")
    fate, events, shown = trace(wake)
    assert (fate, events, shown["agent_id"]) == ("accepted", ["accepted"], None)
    wake.route()
    fate, events, shown = trace(wake)
    assert (fate, events) == ("pending", ["accepted", "routed", "deposited", "waits"])
    assert (shown["events"][-1]["reason"], shown["events"][-1]["until_ms"]) == ("waiting", None)
    assert (shown["agent_id"], shown["via"], shown["batch_id"]) == ("ops", "session-key", None)
    _, batch = wake.begin()
    fate, events, shown = trace(wake)
    assert (fate, events, shown["batch_id"]) == ("running", ["accepted", "routed", "deposited", "begun"], batch.batch_id)


def test_a_settled_one_and_not_its_neighbours(wake: WakeCli) -> None:
    wake.deposit("c1")
    batch = wake.heartbeat()
    wake.deposit("c2")
    wake.heartbeat()
    fate, events, shown = trace(wake)
    assert (fate, shown["batch_id"]) == ("settled", batch.batch_id)
    assert events == ["accepted", "routed", "deposited", "begun", "ran", "settled"]
    assert shown["events"][-1]["outcome"] == "ran"
    assert shown["events"][3]["detail"]["attempt"] == 1
    people = wake.run("trace", "c1")
    assert people.code == 0
    assert "begun" in people.out


def test_each_attempt_is_told_with_its_error(wake: WakeCli) -> None:
    wake.deposit("c1")
    lease, batch = wake.begin()
    wake.store.mailbox.park(lease, batch.batch_id, "failed", 0, "boom")
    leased = wake.store.mailbox.acquire("ops", "agents", "h", "n2")
    assert isinstance(leased, Leased)
    wake.store.mailbox.resume(leased.lease, batch.batch_id, 60_000)
    wake.store.mailbox.bury(leased.lease, batch.batch_id, "attempts-exhausted", "again")
    fate, events, shown = trace(wake)
    assert (fate, shown["batch_id"]) == ("dead", batch.batch_id)
    assert events[3:] == ["begun", "failed", "begun", "dead-lettered", "dead"]
    assert shown["events"][4]["detail"]["error"] == "boom"
    assert shown["events"][-1]["reason"] == "attempts-exhausted"
    assert wake.run("dead", "revive", "c1").code == 0
    assert trace(wake)[1][-2:] == ["revived", "waits"]


def test_why_it_waited(wake: WakeCli) -> None:
    wake.deposit("c1")
    leased = wake.store.mailbox.acquire("ops", "agents", "h", "n1")
    assert isinstance(leased, Leased)
    until_ms = leased.snapshot.now_ms + 60_000
    wake.store.mailbox.defer(leased.lease, leased.snapshot.seq, [Deferral("event", until_ms, "min-spacing")])
    fate, events, shown = trace(wake)
    assert (fate, events[3:]) == ("pending", ["deferred", "waits"])
    assert shown["events"][3]["detail"] == {"deferrals": [{"kind": "event", "until_ms": until_ms, "reason": "min-spacing"}]}
    assert "min-spacing" in wake.run("trace", "c1").out
    wake.deposit("c2")
    _, events, shown = trace(wake, "c2")
    assert events[3:] == ["waits"], "the decision was older than this one, and holds it back too"
    assert (shown["events"][-1]["reason"], shown["events"][-1]["until_ms"]) == ("min-spacing", until_ms)


def test_what_nobody_owns_what_is_quiet_and_what_is_dropped(wake: WakeCli) -> None:
    wake.deposit("c1", "node-x")
    fate, events, shown = trace(wake)
    assert (fate, events, shown["agent_id"]) == ("dead", ["accepted", "dead"], None)
    assert shown["events"][-1]["reason"] == "unbound-key"
    wake.deposit("c2", "agent:ops:main", "--exit-code", "0")
    fate, events, shown = trace(wake, "c2")
    assert (fate, events) == ("suppressed", ["accepted", "routed", "suppressed"])
    assert shown["events"][-1]["reason"] == "empty-success"
    wake.run("dead", "drop", "c1", "--yes")
    assert trace(wake)[0] == "dropped"


def test_a_move_does_not_take_the_story_away(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.heartbeat()
    before = trace(wake)[1]
    assert wake.run("move", "ops", "quiet").code == 0
    assert trace(wake)[1] == before
