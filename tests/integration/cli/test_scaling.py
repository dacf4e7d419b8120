"""`wake scale`: a signal for whatever starts and stops workers."""

from __future__ import annotations

from dispatcher.core.snapshot import Deferral
from dispatcher.store.mailbox import Leased
from tests.support.wake_cli import WakeCli, present


def test_who_could_start_now_counts_and_who_waits_for_a_time_does_not(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.deposit("c2", "node-lab")
    [pool] = wake.json("scale", "--pool", "agents")["pools"]
    assert (pool["eligible"], pool["running"], pool["workers"], pool["wanted_workers"]) == (2, 0, 0, 1)
    assert pool["oldest_age_s"] >= 0
    leased = wake.store.mailbox.acquire("research", "agents", "h", "n")
    assert isinstance(leased, Leased)
    wake.store.mailbox.defer(leased.lease, leased.snapshot.seq, [Deferral("event", leased.snapshot.now_ms + 60_000, "min-spacing")])
    [pool] = wake.json("scale", "--pool", "agents")["pools"]
    assert (pool["eligible"], pool["running"]) == (1, 0)
    wake.begin()
    with present(wake, "worker.agents.host.2.cd"):
        [pool] = wake.json("scale", "--pool", "agents")["pools"]
    assert (pool["eligible"], pool["running"], pool["workers"]) == (0, 1, 1)


def test_every_pool_of_the_configuration_and_the_inbox_are_told(wake: WakeCli) -> None:
    wake.submit("c1")
    shown = wake.json("scale")
    assert [pool["pool"] for pool in shown["pools"]] == ["agents", "quiet"]
    assert shown["inbox"]["entries"] == 1
    assert "wanted" in wake.run("scale").out


def test_how_long_heartbeats_took_of_late_is_what_is_reckoned_with(wake: WakeCli) -> None:
    """Without any, a minute; a person knows better."""
    assert wake.json("scale")["pools"][0]["turn_s"] == 60
    wake.deposit("c1")
    lease, batch = wake.begin()
    assert wake.store.mailbox.settle(lease, batch.batch_id, "ran", {}).status == "SETTLED"
    assert wake.json("scale")["pools"][0]["turn_s"] < 60
    assert wake.json("scale", "--turn", "5m")["pools"][0]["turn_s"] == 300


def test_no_fewer_and_no_more_than_asked_for(wake: WakeCli) -> None:
    assert wake.json("scale")["pools"][0]["wanted_workers"] == 1
    assert wake.json("scale", "--min", "0")["pools"][0]["wanted_workers"] == 0
    assert wake.json("scale", "--min", "3")["pools"][0]["wanted_workers"] == 3
    assert wake.run("scale", "--wait", "soon").code == 2
    done = wake.run("scale", "--min", "5", "--max", "2")
    assert (done.code, "5 is more than --max 2" in done.err) == (2, True)


def test_a_pool_is_one_of_the_configuration_or_one_in_which_agents_lie(wake: WakeCli) -> None:
    """A misspelt one would stop all workers of the right one; one of `wake worker --agent` stands in no file."""
    done = wake.run("scale", "--pool", "quite")
    assert done.code == 2
    assert "there is no pool 'quite'; there are agents, quiet" in done.err
    assert wake.run("top", "--once", "--pool", "quite").code == 2
    wake.deposit("c1")
    assert wake.run("move", "ops", "ops").code == 0
    assert [pool["eligible"] for pool in wake.json("scale", "--pool", "ops")["pools"]] == [1]
    assert "there are agents, ops, quiet" in wake.run("scale", "--pool", "quite").err
    assert [row["agent_id"] for row in wake.json("top", "--pool", "ops")["agents"]] == ["ops"]
