"""`wake pause`, `wake drain`, `wake resume`, `wake holds`."""

from __future__ import annotations

import getpass
from typing import Any

import pytest

from dispatcher.core.policy import Defer, decide
from dispatcher.core.rules import Rules
from dispatcher.names import host_name
from dispatcher.store.mailbox import Leased, NotLeased
from tests.support.exec_process import WAKE, environment
from tests.support.terminal import Screen
from tests.support.wake_cli import WakeCli

LABS = """
[defaults]
window_ms = 0
[agents.ops]
[agents."lab-*"]
[pools.quiet]
agents = ["lab-9"]
"""
ME = f"{getpass.getuser()}@{host_name()}"


def rung(wake: WakeCli) -> int:
    """Doorbells that lie in the queues."""
    return sum(wake.client.llen(key) for key in wake.client.scan_iter("wake.*") if wake.client.type(key) == "list")


def waits(wake: WakeCli, agent_id: str = "ops", pool: str = "agents") -> bool:
    """Whether a worker that looks now is told to wait; it notes that."""
    leased = wake.store.mailbox.acquire(agent_id, pool, f"worker.{pool}.host.1.abc", f"n{rung(wake)}")
    if isinstance(leased, NotLeased):
        return True
    decision = decide(leased.snapshot, Rules())
    deferrals = decision.deferrals if isinstance(decision, Defer) else ()
    wake.store.mailbox.defer(leased.lease, leased.snapshot.seq, deferrals)
    return isinstance(decision, Defer)


def test_pause_and_resume_one_agent(wake: WakeCli) -> None:
    """Who, why and when stand on record; resuming rings what waited."""
    wake.deposit("c1")
    shown = wake.json("pause", "OPS", "--reason", "deploy")
    assert {name: shown[name] for name in ("selector", "wide", "what", "reason", "by", "until_ms", "agents", "also_held", "dry_run")} == {
        "selector": "ops", "wide": False, "what": "paused", "reason": "deploy", "by": ME, "until_ms": None, "agents": ["ops"],
        "also_held": {}, "dry_run": False,
    }  # fmt: skip
    assert waits(wake)
    assert [hold["selector"] for hold in wake.json("holds")["holds"]] == ["ops"]
    assert wake.run("holds").out.count("deploy") == 1
    before = rung(wake)
    resumed = wake.json("resume", "ops")
    assert (resumed["lifted"]["reason"], resumed["by"]) == ("deploy", ME)
    assert rung(wake) == before + 1
    assert not waits(wake)
    assert wake.json("holds") == {"holds": []}
    records = [(r["what"], r["detail"]["by"]) for r in wake.store.ledger.records("ops") if r["what"] in ("held", "resumed")]
    assert records == [("held", ME), ("resumed", ME)]


def test_people_are_told_what_a_pause_means(wake: WakeCli) -> None:
    said = wake.run("pause", "ops", "--reason", "deploy", "--for", "2h").out
    assert "paused: ops, until 20" in said
    assert "manual wakes wait, too; what runs may finish" in said
    assert "resumed: ops" in wake.run("resume", "ops").out
    assert "draining: ops, until it is resumed" in wake.run("drain", "ops", "--reason", "moves").out


def test_a_wide_act_asks(wake: WakeCli) -> None:
    """Without a terminal it must be told --yes; one agent is not asked about."""
    wake.configure(LABS)
    for words in (["pause", "lab-*", "--reason", "x"], ["drain", "pool:quiet", "--reason", "x"], ["resume", "lab-*"]):
        done = wake.run(*words)
        assert done.code == 2, done
        assert "give --yes" in done.err
        assert wake.run(*words, "--json").code == 2
    assert wake.json("holds") == {"holds": []}
    assert wake.run("pause", "lab-*", "--reason", "x", "--yes").code == 0
    assert wake.run("resume", "lab-*", "-y").code == 0


def test_a_person_at_a_terminal_is_asked(wake: WakeCli) -> None:
    wake.configure(LABS)
    wake.deposit("c1", "agent:lab-1:main")
    for answer, code, held in (("n", 1, 0), ("y", 0, 1)):
        with Screen(wake.folder, [*WAKE, "pause", "lab-*", "--reason", "x"], environment(wake.url)) as screen:
            screen.see(b"agents to come included? With work now: lab-1")
            screen.type(f"{answer}\r".encode())
            assert screen.end() == code
        assert len(wake.json("holds")["holds"]) == held


def test_a_dry_run_says_whom_and_does_nothing(wake: WakeCli) -> None:
    wake.configure(LABS)
    for agent in ("lab-1", "lab-2", "ops"):
        wake.deposit(f"c-{agent}", f"agent:{agent}:main")
    before = wake.client.dbsize(), rung(wake)
    shown = wake.json("drain", "lab-?", "--reason", "x", "--dry-run")
    assert (shown["agents"], shown["wide"], shown["dry_run"]) == (["lab-1", "lab-2"], True, True)
    assert "agents with work now: lab-1, lab-2, ops" in wake.run("pause", "pool:agents", "--reason", "x", "--dry-run").out
    assert "would resume: lab-*" in wake.run("resume", "lab-*", "--dry-run").out
    assert (wake.client.dbsize(), rung(wake)) == before
    assert wake.json("holds") == {"holds": []}


def test_resuming_a_pool_rings_all_that_it_held_back(wake: WakeCli) -> None:
    """Those that a worker had told to wait, and nobody else."""
    wake.configure(LABS)
    for agent in ("lab-1", "lab-9", "ops"):
        wake.deposit(f"c-{agent}", f"agent:{agent}:main")
    wake.json("pause", "pool:agents", "--reason", "x", "--yes")
    assert [waits(wake, "ops"), waits(wake, "lab-1"), waits(wake, "lab-9", "quiet")] == [True, True, False]
    before = rung(wake)
    assert wake.json("resume", "pool:agents", "--yes")["agents"] == ["lab-1", "ops"]
    assert rung(wake) == before + 2
    assert [waits(wake, "ops"), waits(wake, "lab-1")] == [False, False]


def test_an_agent_with_an_own_and_a_wide_hold_is_told_so(wake: WakeCli) -> None:
    """Each is lifted by its own selector, and says which others stand."""
    wake.configure(LABS)
    wake.deposit("c1", "agent:lab-1:main")
    wake.json("pause", "lab-*", "--reason", "model is down", "--yes")
    assert "lab-1 is held as well: paused with lab-* (model is down)" in wake.run("pause", "lab-1", "--reason", "own").out
    waits(wake, "lab-1")
    resumed = wake.json("resume", "lab-*", "--yes")
    assert [hold["selector"] for hold in resumed["also_held"]["lab-1"]] == ["lab-1"]
    assert waits(wake, "lab-1")
    wake.json("pause", "lab-*", "--reason", "model is down", "--yes")
    assert "lab-1 stays held: paused with lab-* (model is down)" in wake.run("resume", "lab-1").out
    done = wake.run("resume", "lab-1")
    assert (done.code, "there is no such hold; it is held by lab-*" in done.err) == (1, True)


def test_a_hold_with_an_end(wake: WakeCli) -> None:
    shown = wake.json("pause", "ops", "--reason", "x", "--for", "1h30m")
    assert shown["until_ms"] - shown["since_ms"] == 5_400_000
    short = wake.json("pause", "research", "--reason", "x", "--for", "1ms")
    assert short["until_ms"] == short["since_ms"] + 1
    assert [hold["selector"] for hold in wake.json("holds")["holds"]] == ["ops"]
    assert wake.run("resume", "research").code == 1


def test_what_lapsed_is_forgotten_with_the_next_act(wake: WakeCli) -> None:
    """Of any selector; what stands without an end, or still binds, stays."""
    wake.json("pause", "research", "--reason", "x", "--for", "1ms")
    wake.json("pause", "lab-*", "--reason", "x", "--for", "1ms", "--yes")
    wake.json("pause", "pool:quiet", "--reason", "x", "--for", "1h", "--yes")
    wake.settle_time()
    wake.json("pause", "ops", "--reason", "deploy")
    assert [hold.selector for hold in wake.store.holds.all()] == ["ops", "pool:quiet"]


@pytest.mark.parametrize(
    "words",
    [
        ["pause", "stranger", "--reason", "x"],
        ["pause", "a b", "--reason", "x"],
        ["pause", "pool:qiuet", "--reason", "x"],
        ["pause", "pool:", "--reason", "x"],
        ["pause", "ops", "--reason", " "],
        ["pause", "ops", "--reason", "x", "--for", "0"],
        ["drain", "ops", "--reason", "x", "--for", "soon"],
        ["pause", "ops"],
        ["resume", "stranger"],
    ],
)
def test_what_means_nobody_is_refused(wake: WakeCli, words: list[str]) -> None:
    assert wake.run(*words).code == 2
    assert wake.json("holds") == {"holds": []}


def test_an_agent_that_the_configuration_forgot_can_still_be_resumed(wake: WakeCli) -> None:
    wake.json("pause", "research", "--reason", "x")
    wake.configure("[agents.ops]")
    assert wake.json("resume", "research")["lifted"]["selector"] == "research"


def test_drained_letters_can_be_revived(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.json("drain", "ops", "--reason", "moves")
    leased = wake.store.mailbox.acquire("ops", "agents", "h", "n")
    assert isinstance(leased, Leased)
    decision: Any = decide(leased.snapshot, Rules())
    wake.store.mailbox.begin(leased.lease, decision.session_key, decision.intents, 10, 1_000, counts=False)
    wake.store.mailbox.bury(leased.lease, f"ops-{leased.lease.token}", decision.reason, "")
    assert wake.json("dead", "list")["dead_letters"][0]["reason"] == "drained"
    wake.json("resume", "ops")
    wake.json("dead", "revive", "c1")
    assert wake.fate("c1") == "pending"
