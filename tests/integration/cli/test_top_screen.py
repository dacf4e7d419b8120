"""`wake top` on a real terminal of 80x24: keys are typed, and what is drawn is read."""

from __future__ import annotations

import re

import pytest

from tests.support.drawn import PATIENCE_S, Drawn
from tests.support.exec_process import WAKE, environment
from tests.support.gates import wait_until
from tests.support.server import Server
from tests.support.wake_cli import WakeCli

pytestmark = pytest.mark.slow
COLOURS = re.compile(rb"\x1b\[(?:[0-9;:]*[;:])?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:[;:][0-9;:]*)?m")


def watching(wake: WakeCli, *words: str, **variables: str) -> Drawn:
    return Drawn(wake.folder, [*WAKE, "top", "--every", "0.2", *words], environment(wake.url, **({"TERM": "xterm-256color"} | variables)))


def test_watch_explain_and_act(wake: WakeCli) -> None:
    """Each key does what the last line says, to the agent that is selected; the store has the receipts."""
    before_ms = wake.store.ledger.now_ms()
    wake.deposit("c1")
    wake.deposit("c2", "agent:research:main")
    lease, batch = wake.begin()
    with watching(wake) as screen:
        shown = screen.shows("research", f"running {lease.token}", "q quit")
        assert any(line.startswith("pool agents: workers 0, work 2, run 1") for line in shown)
        screen.type(b"\r")
        screen.shows("ops: no-worker", "to change it start one", f"heartbeat began: {batch.batch_id}")
        screen.type(b"\x1b")
        screen.hides("escape back")
        screen.type(b"s")
        screen.shows("sorted by oldest")
        screen.type(b"sssss")
        screen.shows("sorted by oldest")
        screen.type(b"ssss")
        screen.shows("sorted by next")
        screen.type(b"c")
        screen.shows("Cancel the heartbeat of ops")
        screen.type(b"in circles\r")
        screen.shows(f"cancel {batch.batch_id}: cancelling")
        assert wake.store.mailbox.renew_all([(lease, batch.batch_id)]) == ["CANCEL"]
        screen.type(b"jp")
        screen.shows("Pause research, because:")
        screen.type(b"deploy\r")
        screen.shows("paused: research")
        screen.type(b"r")
        screen.shows("resumed: research")
        screen.type(b"r")
        screen.shows("resume research: there is no such hold")
        screen.type(b"w")
        screen.shows("Wake research, telling it:")
        screen.type(b"\x1b")
        screen.hides("telling it")
        screen.type(b"w")
        screen.shows("Wake research, telling it:")
        screen.type(b"look\r")
        screen.shows("accepted: ", "for agent:research:main")
        screen.type(b"q")
        assert screen.end() == 0
        assert not COLOURS.search(screen.raw)
        assert screen.local_modes() == screen.modes_before
    listed = wake.json("acts")["acts"]
    now_ms, times = wake.store.ledger.now_ms(), [act["at_ms"] for act in listed]
    assert before_ms <= times[-1] <= times[-2] <= times[-3] <= times[0] <= now_ms, "the newest first, each when it was done"
    acts = [(act["what"], act["selector"], act["reason"]) for act in listed]
    assert acts == [
        ("wake", "research", "look"),
        ("resumed", "research", ""),
        ("paused", "research", "deploy"),
        ("cancel", "ops", "in circles"),
    ]


def is_drawn_on(lines: list[str]) -> bool:
    """From the first line to the last, each where it belongs, once."""
    keys = [number for number, line in enumerate(lines) if "q quit" in line]
    return "router" in lines[0] and any("research" in line for line in lines) and keys == [len(lines) - 1]


def test_it_filters_keeps_what_is_selected_and_follows_what_happens(wake: WakeCli) -> None:
    """Also with NO_COLOR, and when the terminal gets another size, whatever a shell exported as its size before."""
    for n in range(40):
        wake.submit(f"c{n}", f"agent:{'ops' if n % 2 else 'research'}:s{n}")
    wake.route()
    with watching(wake, "--sort", "agent", NO_COLOR="1", COLUMNS="80", LINES="24") as screen:
        screen.shows("ops", "research")
        for rows, columns in ((12, 80), (40, 100), (24, 80)):
            screen.resize(rows, columns)
            wait_until(lambda: is_drawn_on(screen.lines), PATIENCE_S, f"it fills {columns}x{rows}")
        screen.type(b"j/")
        screen.shows("Agents with this in their id")
        screen.type(b"sear\r")
        screen.hides("ops")
        screen.shows("matching sear")
        wake.submit("late", "agent:research:main")
        wake.route()
        screen.shows("21 ")
        screen.type(b"\x03")
        assert screen.end() == 0


def test_what_went_wrong_is_shown_whatever_it_was(wake: WakeCli) -> None:
    """Also what nobody foresaw: a screen that stands still would be believed, a key without an answer would count as done."""
    wake.deposit("c1")
    stream = wake.store.keys.inbox["stream"]
    with watching(wake) as screen:
        screen.shows("ops", "NOT READY")
        wake.client.rename(stream, f"{stream}.aside")
        wake.client.set(stream, "something else")
        screen.shows("CANNOT LOOK, looking again", "ResponseError: Command", "ops")
        wake.client.rename(f"{stream}.aside", stream)
        screen.shows("NOT READY", "ops")
        screen.hides("ResponseError")
        acts = wake.store.keys.inbox["acts"]
        wake.client.set(acts, "something else")
        screen.type(b"w")
        screen.shows("Wake ops, telling it:")
        screen.type(b"look\r")
        screen.shows("ResponseError: WRONGTYPE", "NOT READY")
        screen.type(b"q")
        assert screen.end() == 0


def test_a_server_that_is_away_is_waited_for(wake: WakeCli, server: Server) -> None:
    """What was seen last stays, and is called old."""
    wake.deposit("c1")
    with watching(wake) as screen:
        screen.shows("ops", "NOT READY")
        server.kill()
        try:
            screen.shows("SERVER AWAY, looking again", "look at the store: ", "ops")
        finally:
            server.start()
        screen.shows("NOT READY", "ops")
        screen.hides("SERVER AWAY")
        wait_until(lambda: wake.client.ping(), 60, "the server answers")
        screen.type(b"q")
        assert screen.end() == 0
