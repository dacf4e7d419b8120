"""What a line looks like, and what it cannot be made to do."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from workers.log_context import SHOWN_COMPLETIONS, about, also, current_ids, shown
from workers.log_limit import Limiter
from workers.log_lines import MESSAGE_CHARS, TRACE_CHARS, Lines, hidden, secrets_of
from workers.logs import BoundedHandler


class Told:
    """A logger with our handler, and what it wrote."""

    def __init__(self, form: str = "json", burst: int = 100, window_s: float = 60.0, secrets: tuple[str, ...] = ()) -> None:
        self.stream = io.StringIO()
        self.handler = BoundedHandler(Limiter(burst, window_s), self.stream)
        self.handler.setFormatter(Lines(form, secrets))
        self.log = logging.Logger("workers.test")
        self.log.addHandler(self.handler)

    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    yield told
    told.handler.close()


def test_every_line_of_a_heartbeat_carries_its_ids(told: Told) -> None:
    """Also a line of a runner that knows nothing of it, also when ids became known on the way; and none after it."""
    told.log.info("before")
    with about(agent="ops"):
        also(token=7)
        told.log.info("decided")
        also(batch="ops-7", completions=shown([f"c{n}" for n in range(5000)]))
        told.log.info("said by a runner")
    told.log.info("after")
    ids = [{name: line.get(name) for name in ("agent", "token", "batch", "completions")} for line in told.objects()]
    nothing = dict.fromkeys(("agent", "token", "batch", "completions"))
    assert ids[0] == ids[3] == nothing
    assert ids[1] == nothing | {"agent": "ops", "token": 7}
    assert ids[2] == {"agent": "ops", "token": 7, "batch": "ops-7", "completions": [f"c{n}" for n in range(SHOWN_COMPLETIONS)]}


def test_heartbeats_in_other_threads_are_kept_apart() -> None:
    seen = []
    with about(agent="ops"):
        for run in (lambda call: call(), copy_context().run):
            thread = threading.Thread(target=run, args=(lambda: seen.append(dict(current_ids())),))
            thread.start()
            thread.join()
    assert seen == [{}, {"agent": "ops"}]


def test_people_read_the_same_facts_in_one_line() -> None:
    told = Told("human")
    with about(agent="ops", completions=["c1", "c2"], odd="a b"):
        told.log.warning("heartbeat %s", "ran")
    (line,) = told.lines()
    assert line.endswith(' WARNING workers.test: heartbeat ran [agent=ops completions=c1,c2 odd="a b"]')


@pytest.mark.parametrize("form", ["human", "json"])
def test_foreign_text_can_neither_steer_a_terminal_nor_forge_a_line(form: str) -> None:
    told = Told(form)
    with about(agent="ops", completions=["x\n2026 ERROR fake: \x1b[31mred"]):
        told.log.info("%s", "one\r\n\x1b]0;title\x07two\u2028three\u202e\x00")
    (line,) = told.lines()
    assert not [c for c in line if ord(c) < 32 or c in "\u2028\u202e"]
    assert "one two three" in line
    assert "title" not in line


def test_a_trace_is_told_and_bounded_and_is_no_line_of_its_own() -> None:
    for form in ("human", "json"):
        told = Told(form)
        try:
            raise ValueError("y" * 20_000 + "\n2026-01-01 INFO forged: the end")
        except ValueError:
            told.log.exception("runner raised")
        rows = told.stream.getvalue().splitlines()
        assert "forged: the end" in told.stream.getvalue()
        assert len(told.stream.getvalue()) < TRACE_CHARS + 1_000
        assert len(rows) == 1 if form == "json" else all(row.startswith("    ") for row in rows[1:])


def test_a_long_message_is_cut_and_a_wrong_call_is_said_all_the_same(told: Told) -> None:
    told.log.info("x" * 100_000)
    told.log.info("%d of %d", 1)
    long, wrong = told.objects()
    assert len(long["message"]) == MESSAGE_CHARS
    assert "%d of %d" in wrong["message"]


def test_a_storm_is_bounded_and_says_how_much_it_left_out() -> None:
    told = Told(burst=5)
    for n in range(1000):
        told.log.warning("renew: %s", n)
    told.log.warning("something else")
    told.handler.close()
    messages = [line["message"] for line in told.objects()]
    assert messages == [*(f"renew: {n}" for n in range(5)), "something else", "suppressed 995 more lines like: renew: %s"]
    assert told.objects()[-1]["level"] == "WARNING"


def test_the_count_comes_by_itself_when_the_storm_is_over() -> None:
    told = Told(burst=1, window_s=0.05)
    for _ in range(3):
        told.log.info("again")
    timer = told.handler._timer
    assert timer
    timer.join(20)
    assert [line["message"] for line in told.objects()] == ["again", "suppressed 2 more lines like: again"]


def test_no_password_is_ever_said() -> None:
    url = "redis://user:p%40ss-word@host:6379/0"
    told = Told(secrets=tuple(secrets_of(url)))
    told.log.info("connect %s, then p@ss-word alone, amqp://me:other@there, unix:///s.sock?password=third&db=0", url)
    try:
        raise OSError(f"cannot reach {url}")
    except OSError:
        told.log.exception("failed", exc_info=sys.exc_info())
    assert not [word for word in ("p%40ss-word", "p@ss-word", "other", "third") if word in told.stream.getvalue()]
    assert "redis://user:***@host:6379/0" in told.stream.getvalue()
    assert hidden("redis://host:6379/0 at 12:30, a@b", ()) == "redis://host:6379/0 at 12:30, a@b"


@pytest.mark.parametrize("url", [None, "redis://host/0", "unix:///s.sock?db=0"])
def test_a_server_without_a_password_hides_nothing(url: str | None) -> None:
    assert secrets_of(url) == set()
