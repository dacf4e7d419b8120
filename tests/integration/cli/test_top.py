"""`wake top`: one frame for scripts, what it costs, and what it says where nothing can be drawn."""

from __future__ import annotations

import sys

import pytest

from dispatcher.cli.app import run
from dispatcher.cli.reach import reach
from dispatcher.cli.top import _screen
from dispatcher.core.errors import ConfigError
from dispatcher.core.snapshot import Deferral
from dispatcher.store.glance import HEAD
from dispatcher.store.mailbox import Leased
from dispatcher.viewing import Asked, Viewer
from tests.support.exec_process import WAKE, environment
from tests.support.terminal import Screen
from tests.support.wake_cli import WakeCli, present

PROCESSES = ("router.inbox.host.1.a", "worker.agents+quiet.host.2.b")


def test_one_frame(wake: WakeCli) -> None:
    """Who runs, with its token; who is deferred, and why; what is dead, of an agent and of nobody."""
    wake.deposit("c1")
    wake.bury()
    wake.submit("nobody's", "node-mac")
    wake.deposit("c2")
    lease, batch = wake.begin()
    wake.deposit("c3")
    wake.json("pause", "research", "--reason", "deploy")
    wake.deposit("c4", "agent:research:main")
    with present(wake, *PROCESSES):
        shown = wake.json("top")
        text = wake.run("top", "--once").out.splitlines()
    assert (shown["ready"], shown["routers"], shown["workers"], shown["running"], shown["dead"]) == (True, 1, 1, 1, 2)
    assert [(p["pool"], p["workers"], p["working"], p["running"], p["dead"]) for p in shown["pools"]] == [("agents", 1, 2, 1, 1)]
    first, second = shown["agents"]
    assert (first["agent_id"], first["state"], first["token"], first["batch_id"]) == ("ops", "running", lease.token, batch.batch_id)
    assert (first["size"], first["attempt"], first["waiting"], first["holder"]) == (1, 1, 1, lease.holder)
    assert 0 <= first["for_ms"] < 600_000
    assert (second["agent_id"], second["state"], second["waiting"]) == ("research", "waiting", 1)
    assert [line.split()[:4] for line in text[-2:]] == [
        ["ops", "agents", "running", str(lease.token)],
        ["research", "agents", "waiting", "1"],
    ]


def test_a_deferral_counts_down(wake: WakeCli) -> None:
    wake.deposit("c1")
    leased = wake.store.mailbox.acquire("ops", "agents", "worker.agents.host.1.abc", "n1")
    now_ms = wake.store.ledger.now_ms()
    assert isinstance(leased, Leased)
    kinds = ("manual", "immediate", "event")
    wake.store.mailbox.defer(leased.lease, leased.snapshot.seq, [Deferral(kind, now_ms + 900_000, "min-spacing") for kind in kinds])
    (agent,) = wake.json("top")["agents"]
    assert (agent["state"], agent["reason"]) == ("deferred", "min-spacing")
    assert 0 < agent["left_ms"] <= 900_000


def test_filter_pool_and_sort(wake: WakeCli) -> None:
    """A part of the id, a pattern, or a whole id, then of an idle agent too."""
    for n, agent in enumerate(("ops", "research", "hermit")):
        for i in range(n + 1):
            wake.deposit(f"{agent}-{i}", f"agent:{agent}:main")
    wake.deposit("gone", "agent:off:main")

    def seen(*words: str) -> list[str]:
        return [agent["agent_id"] for agent in wake.json("top", *words)["agents"]]

    assert set(seen()) >= {"ops", "research", "hermit"}
    assert seen("--filter", "SEARCH") == ["research"]
    assert set(seen("--filter", "?e*")) == {"hermit", "research"}
    assert seen("--pool", "quiet") == ["hermit"]
    assert seen("--sort", "waiting", "--filter", "*r*")[0] == "hermit"
    assert seen("--sort", "agent", "--filter", "r") == ["hermit", "research"]
    wake.heartbeat("ops")
    assert seen("--filter", "ops") == ["ops"]
    assert "ops" not in seen("--filter", "op")
    assert wake.run("top", "--sort", "colour", "--once").code == 2


def test_a_look_costs_the_same_however_many_agents_there_are(wake: WakeCli) -> None:
    """Heads and counters, and one page: nothing is scanned."""
    wake.deposit("c1")
    viewer, keys = Viewer(wake.store), wake.store.keys.agent("agents", "ops")

    def costs(agents: int) -> int:
        wake.client.zadd(keys["due"], {f"agent-{n}": 1_000_000 + n for n in range(agents)})
        before = wake.client.info("stats")["total_commands_processed"]
        frame = viewer.frame(Asked(page=10))
        assert (len(frame.agents), frame.working >= agents) == (10, True)
        assert frame.matching <= HEAD
        return int(wake.client.info("stats")["total_commands_processed"] - before)

    assert costs(50) == costs(5_000)


def test_where_nothing_can_be_drawn_it_says_what_to_do_instead(wake: WakeCli) -> None:
    """Into a pipe, and on a terminal that cannot move its cursor."""
    piped = wake.run("top")
    assert (piped.code, "`wake top --once` prints one frame" in piped.err) == (2, True)
    with Screen(wake.folder, [*WAKE, "top"], environment(wake.url, TERM="dumb")) as screen:
        screen.see(b"a terminal of TERM=dumb cannot be drawn on")
        assert screen.end() == 2


def test_without_the_extra_it_says_how_to_get_it(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame needs none."""
    wake.forget()
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.delitem(sys.modules, "dispatcher.cli.top_screen", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'wake-dispatcher\[top\]'"):
        _screen(reach(None), Asked(), 1.0)
    assert run(["top", "--once"]) == 0
