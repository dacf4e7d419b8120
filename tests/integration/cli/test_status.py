"""`wake status`, `wake audit`, `wake move`."""

from __future__ import annotations

import threading

import pytest

from dispatcher.cli.audit import agreed
from dispatcher.config.server_url import ServerUrl
from dispatcher.core.snapshot import Deferral
from dispatcher.store.books import Balance
from dispatcher.store.mailbox import Leased
from dispatcher.submit import completion_of, submission_of
from tests.support.gates import wait_until
from tests.support.wake_cli import WakeCli, present

PARTS = ("accepted", "unrouted", "pending", "running", "settled", "suppressed", "dead", "dropped", "balance")


def test_ready_is_a_server_a_router_and_a_worker(wake: WakeCli) -> None:
    bare = wake.run("status", "--json")
    assert (bare.code, bare.document["ready"], bare.document["missing"]) == (1, False, ["router", "worker"])
    with present(wake, "router.inbox.host.1.ab"):
        assert wake.run("status", "--json").document["missing"] == ["worker"]
        assert "no worker" in wake.run("status").out
    with present(wake, "router.inbox.host.1.ab", "worker.agents+quiet.host.2.cd"):
        shown = wake.json("status")
        wanted = {"ready", "missing", "server", "routers", "workers", "inbox", "dead_letters", "dead_alert", "avoidable", "agents"}
        assert set(shown) == wanted
        assert shown["routers"] == ["router.inbox.host.1.ab"]
        assert shown["workers"] == [{"holder": "worker.agents+quiet.host.2.cd", "pools": ["agents", "quiet"]}]
        assert shown["server"].startswith("unix:")
        people = wake.run("status")
        assert (people.code, people.out.splitlines()[0]) == (0, "ready")


def test_every_pool_with_work_needs_a_worker(wake: WakeCli) -> None:
    with present(wake, "router.inbox.host.1.ab", "worker.agents.host.2.cd"):
        wake.deposit("c1")
        assert wake.run("status").code == 0
        wake.deposit("c2", "agent:hermit:main")
        done = wake.run("status", "--json")
        assert (done.code, done.document["missing"]) == (1, ["worker of pool quiet"])


def test_who_has_work_and_why_it_waits(wake: WakeCli) -> None:
    wake.submit("c0", "agent:research:main")
    wake.deposit("c1", "node-x")
    wake.deposit("c2")
    wake.submit("c3")
    agents = {a["agent_id"]: a for a in wake.run("status", "--json").document["agents"]}
    assert set(agents) == {"ops", "research"}
    assert (agents["ops"]["state"], agents["ops"]["pending"], agents["ops"]["pool"]) == ("waiting", 1, "agents")
    assert agents["ops"]["oldest_age_s"] >= 0
    wake.begin()
    leased = wake.store.mailbox.acquire("research", "agents", "h", "n")
    assert isinstance(leased, Leased)
    until_ms = leased.snapshot.now_ms + 60_000
    wake.store.mailbox.defer(leased.lease, leased.snapshot.seq, [Deferral("event", until_ms, "min-spacing")])
    shown = wake.run("status", "--json").document
    agents = {a["agent_id"]: a for a in shown["agents"]}
    assert (shown["inbox"], shown["dead_letters"]) == (1, 1)
    assert agents["ops"]["state"] == "running"
    assert [agents["research"][name] for name in ("state", "reason", "until_ms")] == ["deferred", "min-spacing", until_ms]
    assert "min-spacing" in wake.run("status").out


def test_the_oldest_is_the_one_that_came_first(wake: WakeCli) -> None:
    """Not the first in the order of names, nor only one that no heartbeat had yet; `wake explain` and `wake top` say the same."""
    wake.deposit("c1", "agent:ops:z")
    first = wake.store.ledger.where("c1")
    assert first
    assert first.accepted_at_ms
    later_ms = first.accepted_at_ms + 1_000
    wait_until(lambda: wake.store.ledger.now_ms() >= later_ms, 60, "a second has passed")
    wake.deposit("c2", "agent:ops:a")
    for parked in (False, True):
        if parked:
            lease, batch = wake.begin(session="z")
            wake.store.mailbox.park(lease, batch.batch_id, "failed", 600_000, "boom")
        assert wake.json("status", "ops")["oldest_age_s"] >= 1
        assert wake.json("explain", "ops")["oldest_age_ms"] >= 1_000
        frame = wake.json("top")
        assert [frame["at_ms"] - agent["oldest_ms"] for agent in frame["agents"]] == [first.accepted_at_ms]


def test_a_retry_is_a_deferral_too(wake: WakeCli) -> None:
    wake.deposit("c1")
    lease, batch = wake.begin()
    wake.store.mailbox.park(lease, batch.batch_id, "failed", 60_000, "boom")
    shown = wake.json("status", "ops")
    assert (shown["state"], shown["reason"], shown["parked"]) == ("deferred", "retry", 1)


def test_one_agent(wake: WakeCli) -> None:
    idle = wake.json("status", "OPS")
    assert (idle["agent_id"], idle["state"], idle["pending"], idle["running"]) == ("ops", "idle", 0, None)
    wake.deposit("c1")
    lease, batch = wake.begin()
    shown = wake.json("status", "ops")
    assert set(shown) == set(idle)
    assert (shown["state"], shown["running"]) == ("running", {"batch_id": batch.batch_id, "token": lease.token, "holder": lease.holder})
    assert shown["queue"] == wake.json("resolve", "agent:ops:main")["queue"]
    assert batch.batch_id in wake.run("status", "ops").out
    assert wake.json("status", "off")["enabled"] is False


def test_avoidable_heartbeats_and_what_heartbeats_cause(wake: WakeCli) -> None:
    """Per pool and reason with their share; caused completions per heartbeat of each agent with work."""
    for number, (acted, word) in enumerate([(False, "not-acted"), (True, ""), (True, ""), (False, "not-acted")]):
        wake.deposit(f"c{number}")
        lease, batch = wake.begin()
        wake.store.mailbox.settle(lease, batch.batch_id, "ran", {"acted": acted}, word)
    caused = {"session_key": "agent:ops:main", "exit_code": 1, "lineage": {"root": "c0", "depth": 1, "agent_id": "ops"}}
    wake.store.inbox.submit(submission_of(completion_of(caused)))
    wake.route()
    shown = wake.run("status", "--json").document
    assert shown["avoidable"] == [{"pool": "agents", "heartbeats": 4, "avoidable": 2, "share": 0.5, "reasons": {"not-acted": 2}}]
    assert [(a["agent_id"], a["heartbeats"], a["caused_per_heartbeat"]) for a in shown["agents"]] == [("ops", 4, 0.25)]
    assert "2 of 4 heartbeats (50.0%): not-acted: 2" in wake.run("status").out
    assert wake.json("status", "ops")["caused_per_heartbeat"] == 0.25
    assert wake.json("status", "research")["caused_per_heartbeat"] is None


@pytest.mark.parametrize("agent", ["stranger", "lab-*", ""])
def test_an_unknown_agent(wake: WakeCli, agent: str) -> None:
    done = wake.run("status", agent, "--json")
    assert (done.code, done.document["error"]) == (1, "unknown agent")
    assert "knows" in wake.run("status", agent).err


def test_audit_counts_every_fate(wake: WakeCli) -> None:
    for number, key in enumerate(["node-x", "node-y", "agent:research:main"]):
        wake.deposit(f"o{number}", key)
    wake.run("dead", "drop", "o0", "--yes")
    wake.deposit("s1")
    wake.heartbeat()
    wake.deposit("q1", "agent:ops:main", "--exit-code", "0")
    wake.deposit("r1")
    wake.begin()
    wake.submit("u1")
    counts = wake.json("audit")
    assert tuple(counts) == PARTS
    assert counts == dict(zip(PARTS, (7, 1, 1, 1, 1, 1, 1, 1, 0), strict=True))
    assert "balance 0" in wake.run("audit").out


def test_audit_says_no_when_something_is_missing(wake: WakeCli) -> None:
    wake.submit("c1")
    wake.client.delete(wake.store.keys.inbox["stream"])
    done = wake.run("audit", "--json")
    assert (done.code, done.document["balance"]) == (1, 1)
    assert wake.run("audit").code == 1


def reading(accepted: int, settled: int) -> Balance:
    return Balance(accepted, 0, 0, 0, settled, 0, 0, 0)


def test_audit_reads_again_until_two_readings_agree() -> None:
    readings = iter([reading(5, 3), reading(6, 4), reading(6, 6), reading(7, 7), reading(9, 9)])
    assert agreed(lambda: next(readings), pause_s=0) == reading(7, 7), "balanced twice while work goes on"
    readings = iter([reading(5, 3), reading(5, 5), reading(5, 4), reading(5, 4), reading(5, 5)])
    assert agreed(lambda: next(readings), pause_s=0) == reading(5, 4), "a difference that stays"


def test_audit_does_not_read_for_ever() -> None:
    count = iter(range(1_000_000))
    found: list[Balance] = []
    reader = threading.Thread(target=lambda: found.append(agreed(lambda: reading(next(count), 0), limit_s=0.05, pause_s=0.001)))
    reader.start()
    reader.join(200)
    assert found
    assert found[0].balance > 0


def test_move_there_and_back(wake: WakeCli) -> None:
    wake.deposit("c1")
    assert wake.json("move", "ops", "quiet") == {"agent_id": "ops", "from": "agents", "to": "quiet", "status": "moved"}
    assert wake.json("move", "ops", "quiet")["status"] == "already"
    assert wake.json("status", "ops")["pool"] == "quiet"
    assert wake.json("move", "OPS") == {"agent_id": "ops", "from": "quiet", "to": "agents", "status": "moved"}
    assert [w.wake_id for w in wake.heartbeat().wakes] == ["c1"]
    assert "already in agents" in wake.run("move", "ops").out


def test_an_agent_that_runs_is_not_moved(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.begin()
    done = wake.run("move", "ops", "quiet", "--json")
    assert (done.code, done.document["status"]) == (1, "lease-held")
    people = wake.run("move", "ops", "quiet")
    assert people.code == 1
    assert "it runs" in people.err


def test_an_agent_may_have_a_pool_of_its_own_name(wake: WakeCli) -> None:
    assert wake.json("move", "ops", "ops")["to"] == "ops"


def test_nobody_moves_to_nowhere(wake: WakeCli) -> None:
    assert wake.run("move", "ops", "qiuet").code == 2
    assert wake.run("move", "stranger").code == 2
    assert wake.store.ledger.home_of("ops") is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@[::1]:6380/0", "redis://[::1]:6380/0"),
        ("rediss://ops:s3cret@store.example/2", "rediss://store.example:6379/2"),
        ("unix://ops:s3cret@/run/my%20server.sock?db=0", "unix:/run/my server.sock"),
    ],
)
def test_the_server_is_named_without_its_password(url: str, shown: str) -> None:
    """In a form that can be given back, an IPv6 address too."""
    assert ServerUrl.parse(url).shown() == shown
