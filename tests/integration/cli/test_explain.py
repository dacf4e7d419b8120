"""`wake explain`: from a state on a real server to the words on the screen."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from dispatcher.config import rules_of
from dispatcher.core.models import Lease
from dispatcher.core.policy import Defer, decide
from dispatcher.core.snapshot import Tick
from dispatcher.store.cadences import TickChange
from dispatcher.store.mailbox import Leased
from tests.support.wake_cli import TOML, WakeCli, present

ROUTER, WORKER = "router.inbox.host.1.ab", "worker.agents.host.2.cd"


def told(wake: WakeCli, cause: str, agent: str = "ops") -> Any:
    """The document of `wake explain`, which names this cause; people see its words."""
    done = wake.run("explain", agent, "--json")
    assert (done.code, done.document["cause"]) == (0, cause), done
    folded = "".join(wake.run("explain", agent).out.split())
    for part in ("says", "change"):
        words = "".join(done.document[part].split())
        assert words in folded or any(c.isdigit() for c in words), (words, folded)  # ages move on between the two
    return done.document


def lease_of(wake: WakeCli, holder: str = WORKER) -> Leased:
    leased = wake.store.mailbox.acquire("ops", "agents", holder, secrets.token_hex(4))
    assert isinstance(leased, Leased), leased
    return leased


def looks(wake: WakeCli) -> None:
    """A worker looks, and notes why it waits."""
    leased = lease_of(wake)
    decision = decide(leased.snapshot, rules_of(wake.config, "ops"))
    assert isinstance(decision, Defer), decision
    wake.store.mailbox.defer(leased.lease, leased.snapshot.seq, decision.deferrals)


def begun(wake: WakeCli, holder: str = WORKER) -> tuple[Lease, str]:
    lease = lease_of(wake, holder).lease
    wake.store.mailbox.begin(lease, "agent:ops:main", ("event",), 5000, 600_000)
    return lease, f"ops-{lease.token}"


def test_nothing_waits_and_nobody_is_needed(wake: WakeCli) -> None:
    """Asking changes nothing."""
    shown = told(wake, "nothing-waiting")
    assert set(shown) == {
        *("agent_id", "pool", "cause", "says", "follows", "change", "since_ms", "until_ms", "waiting", "oldest_age_ms", "next_tick_ms"),
        *("caused_per_heartbeat", "also", "heartbeats", "caused", "dead_letters", "decisions"),
    }
    assert (shown["waiting"], shown["oldest_age_ms"], shown["decisions"]) == (0, None, [])
    wake.deposit("c1")
    before = {key: wake.client.dump(key) for key in wake.client.scan_iter()}
    wake.run("explain", "ops")
    assert {key: wake.client.dump(key) for key in wake.client.scan_iter()} == before


def test_no_router_no_worker_and_then_due(wake: WakeCli) -> None:
    wake.submit("c1")
    assert told(wake, "no-router")["says"].startswith("completions in the inbox: 1")
    with present(wake, ROUTER):
        told(wake, "not-routed")
    wake.route()
    shown = told(wake, "no-worker")
    assert (shown["waiting"], shown["change"]) == (1, "start one: `wake worker --pool agents`, or `wake up`")
    with present(wake, "worker.quiet.host.3.ef"):
        told(wake, "no-worker")
    with present(wake, WORKER):
        told(wake, "due")


def test_running_deciding_and_gone(wake: WakeCli) -> None:
    """A holder that shows no presence is gone; another worker takes over."""
    wake.deposit("c1")
    with present(wake, WORKER):
        lease_of(wake)
        assert told(wake, "lease-live")["says"] == f"{WORKER} holds the agent and decides what to do"
    wake.client.flushall()
    wake.deposit("c1")
    with present(wake, WORKER):
        _, batch_id = begun(wake)
        shown = told(wake, "running")
        assert f"batch {batch_id}, attempt 1, completions: 1, on {WORKER}" in shown["says"]
        assert (shown["waiting"], shown["heartbeats"]) == (0, 1)
    told(wake, "no-worker")
    with present(wake, "worker.agents.other.9.ef"):
        shown = told(wake, "lease-dead")
        assert shown["says"] == f"{WORKER} held the agent and is gone; batch: {batch_id}"


def test_spacing_with_its_receipts(wake: WakeCli) -> None:
    """The last decisions in words, the oldest last."""
    wake.configure(TOML.replace("min_spacing_ms = 0", "min_spacing_ms = 30000"))
    wake.deposit("c1")
    wake.heartbeat()
    wake.deposit("c2")
    looks(wake)
    with present(wake, WORKER):
        shown = told(wake, "min-spacing")
    assert shown["says"] == "less than 30 s since the start of its last heartbeat"
    assert shown["since_ms"] < shown["until_ms"] <= shown["since_ms"] + 30_000
    told_words = [line["says"] for line in shown["decisions"]]
    assert told_words[0].startswith("deferred: min-spacing for ")
    assert [line["what"] for line in shown["decisions"]] == ["deferred", "ran", "begun"]
    assert "heartbeat ended well: ops-" in wake.run("explain", "ops").out


def test_flood_budget_and_quiet_hours(wake: WakeCli) -> None:
    wake.configure(TOML.replace("window_ms = 0", "window_ms = 0\nflood_starts = 1"))
    wake.deposit("c1")
    wake.heartbeat()
    wake.deposit("c2")
    with present(wake, WORKER):
        told(wake, "flood")
        wake.configure(TOML.replace("window_ms = 0", "window_ms = 0\nbudget_per_day = 1"))
        assert told(wake, "budget")["says"] == "its budget is spent: 1 in 24 hours"
        wake.configure(TOML.replace("window_ms = 0", 'window_ms = 0\nactive_hours = { start = "00:00", end = "00:00" }'))
        assert told(wake, "quiet-hours")["says"] == "outside its active hours, 00:00-00:00 UTC"


def test_window_busy_and_retry(wake: WakeCli) -> None:
    wake.configure(TOML.replace("window_ms = 0", "window_ms = 3600000"))
    wake.deposit("c1")
    with present(wake, WORKER):
        told(wake, "window")
        wake.configure(TOML)
        wake.client.flushall()
        wake.deposit("c1")
        lease, batch_id = begun(wake)
        wake.store.mailbox.dissolve(lease, batch_id, 600_000, 600_000, 600_000, "requests-in-flight")
        assert told(wake, "busy")["says"] == "its session agent:ops:main is busy: requests-in-flight"
        wake.client.flushall()
        wake.deposit("c1")
        lease, batch_id = begun(wake)
        wake.store.mailbox.park(lease, batch_id, "failed", 600_000, "boom")
        shown = told(wake, "retry")
        assert shown["says"] == f"the last attempt of batch {batch_id} failed, failures: 1 of 5: boom"
        assert shown["decisions"][0]["says"] == f"heartbeat failed: {batch_id}: boom; again after 10 min"


def test_paused_and_draining(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.json("pause", "pool:agents", "--reason", "deploy", "--yes")
    with present(wake, WORKER):
        shown = told(wake, "paused")
        assert shown["change"] == "`wake resume pool:agents`"
        assert shown["decisions"][0]["says"].startswith("paused by ")
        wake.json("drain", "ops", "--reason", "moves")
        assert told(wake, "draining")["change"].startswith("`wake resume ops`")
    wake.json("resume", "ops")
    wake.json("pause", "research", "--reason", "x")
    assert told(wake, "paused", "research")["also"] == ["nothing-waiting"], "an agent that never had a wake"


def test_disabled_removed_and_dead(wake: WakeCli) -> None:
    told(wake, "agent-disabled", "off")
    wake.deposit("c1")
    wake.bury()
    assert told(wake, "dead-lettered")["dead_letters"] == 1
    wake.deposit("c2")
    wake.configure("[agents.research]")
    assert told(wake, "no-worker")["also"] == ["unknown-agent"]
    with present(wake, WORKER):
        told(wake, "unknown-agent")


def test_the_next_tick(wake: WakeCli) -> None:
    wake.configure(TOML.replace("window_ms = 0", 'window_ms = 0\nevery = "30m"'))
    now_ms = wake.store.ledger.now_ms()
    tick = Tick(now_ms + 600_000, rules_of(wake.config, "ops").cadence)
    wake.store.cadences.change_all("agents", [TickChange("ops", None, tick)])
    assert told(wake, "nothing-waiting")["next_tick_ms"] == tick.next_ms


@pytest.mark.parametrize("agent", ["stranger", "lab-*", ""])
def test_an_unknown_agent(wake: WakeCli, agent: str) -> None:
    done = wake.run("explain", agent, "--json")
    assert (done.code, done.document["cause"]) == (1, "unknown-agent")
    assert "knows it" in wake.run("explain", agent).err


def test_one_of_both(wake: WakeCli) -> None:
    assert wake.run("explain").code == 2
    assert wake.run("explain", "ops", "--completion", "c1").code == 2


def test_without_a_server(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 75, and words about it."""
    monkeypatch.setenv("WAKE_REDIS_URL", "redis://127.0.0.1:1/0")
    done = wake.run("explain", "ops", "--json")
    assert (done.code, done.document["cause"]) == (75, "server-down")
    people = wake.run("explain", "ops")
    assert people.code == 75
    assert "the server does not answer, so nobody can say" in people.out
    assert wake.run("explain", "--completion", "c1").code == 75


def completion(wake: WakeCli, completion_id: str, cause: str) -> Any:
    shown = wake.json("explain", "--completion", completion_id)
    assert shown["cause"] == cause, shown
    assert wake.run("explain", "--completion", completion_id).out.startswith(f"{completion_id}: {cause}\n")
    return shown


def test_a_completion_from_its_acceptance_to_its_end(wake: WakeCli) -> None:
    wake.submit("c1")
    assert "no router runs" in completion(wake, "c1", "accepted")["follows"]
    with present(wake, ROUTER):
        assert completion(wake, "c1", "accepted")["follows"] == "a router finds its owner"
    wake.route()
    waiting = completion(wake, "c1", "pending")
    assert (waiting["fate"], waiting["agent"]["cause"]) == ("pending", "no-worker")
    lease, batch_id = begun(wake)
    with present(wake, WORKER):
        running = completion(wake, "c1", "in-heartbeat")
        assert (running["agent"]["cause"], batch_id in running["says"]) == ("running", True)
    wake.store.mailbox.settle(lease, batch_id, "ran", {"acted": True})
    done = completion(wake, "c1", "settled")
    assert (done["agent"], f"by a heartbeat of ops: ran, batch {batch_id}" in done["says"]) == (None, True)


def test_completions_that_no_heartbeat_has(wake: WakeCli) -> None:
    wake.deposit("quiet", "agent:ops:main", "--exit-code", "0")
    assert "woke nobody: " in completion(wake, "quiet", "suppressed")["says"]
    wake.deposit("lost", "node-x")
    found = completion(wake, "lost", "dead-letter")
    assert found["says"].startswith("a dead letter: unbound-key: ")
    assert found["change"] == "`wake bind` the key to an agent; then `wake dead revive`"
    wake.run("dead", "drop", "lost", "--yes")
    assert completion(wake, "lost", "dropped")["fate"] == "dropped"
    wake.deposit("bad")
    wake.bury()
    assert completion(wake, "bad", "dead-letter")["says"] == "a dead letter: attempts-exhausted: it did not work"
    wake.deposit("old")
    wake.heartbeat()
    wake.client.hdel(wake.store.keys.agent("agents", "ops")["fates"], "old")  # as a trim does
    completion(wake, "old", "forgotten")


def test_an_unknown_completion(wake: WakeCli) -> None:
    assert wake.run("explain", "--completion", "never").code == 1
