"""The ledger in plain words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dispatcher.core.receipts import WORDS, Told, says, tell
from tests.support.sources import LUA

NOW = 1_800_000_000_000
HOLD = '{"what": "paused", "reason": "deploy", "since": 5000, "until": 125000}'


def line(what: str, detail: Any = None, *, at: int = NOW, batch: str = "ops-8") -> dict[str, Any]:
    return {"what": what, "at": at, "batch": batch, "token": "8", "detail": detail}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (line("begun", {"n": 3, "session": "agent:ops:main", "attempt": 1}), "heartbeat began: ops-8, completions: 3, for agent:ops:main"),
        (line("begun", {"n": 3, "session": "s", "attempt": 2}), "heartbeat began: ops-8, attempt 2, completions: 3, for s"),
        (line("ran", {"acted": True}), "heartbeat ended well: ops-8"),
        (line("ran", {"acted": False}), "heartbeat ended well: ops-8, nothing came of it"),
        (line("skipped", {"reason": "precheck: quiet"}), "heartbeat skipped: ops-8: precheck: quiet"),
        (line("failed", {"error": "boom", "delay_ms": 2100}), "heartbeat failed: ops-8: boom; again after 2.1 s"),
        (line("handed-back", {"error": "stopping", "delay_ms": 0}), "handed back: ops-8: stopping; again at once"),
        (line("busy", {"reason": "requests-in-flight"}), "target busy: ops-8: requests-in-flight"),
        (line("busy", {"error": "active-run", "delay_ms": 1000}), "target busy: ops-8: active-run"),
        (line("deferred", []), "deferred: nothing was due yet"),
        (
            line(
                "deferred",
                [["event", NOW + 18_000, "min-spacing"], ["task", NOW + 18_000, "min-spacing"], ["batch:ops-7", NOW + 1, "flood"]],
            ),
            "deferred: min-spacing for 18 s (event, task); flood for 1 ms (a retry)",
        ),
        (line("held", {"by": "ann@vm", "hold": HOLD, "selector": "lab-*"}), "paused for 2 min by ann@vm with lab-*: deploy"),
        (line("resumed", {"by": "ann@vm", "selector": "ops"}), "resumed by ann@vm with ops"),
        (line("ticked", {"why": "due", "deposited": True}), "a tick of its cadence came"),
        (line("ticked", {"why": "quiet-hours", "deposited": False}), "its cadence moved on: quiet-hours"),
        (line("dead-lettered", {"n": 3, "reason": "drained"}), "became dead letters: ops-8, completions: 3: drained"),
        (line("taken-over", {"from": "w1"}), "taken over: ops-8 from w1"),
        (line("reclaimed", {"holder": "w1"}), "lease taken from w1, which is gone"),
        (line("mended", {"what": ["trims", "due-entry"]}), "its indexes were mended: trims, due-entry"),
        (line("revived", {"id": "c1"}), "revived: c1"),
        (line("dead-lettered", {"n": 1, "why": "cancelled by a@b"}), "became dead letters: ops-8, completions: 1: cancelled by a@b"),
        (line("cancel-asked", {"by": "a@b", "reason": "x", "retry": False}), "cancelled for good by a@b: ops-8: x"),
        (line("cancel-asked", {"by": "a@b", "reason": "", "retry": True}), "cancelled to run again by a@b: ops-8"),
        (line("cancelled", {"error": "cancelled by a@b", "delay_ms": 0}), "heartbeat broken off: ops-8: cancelled by a@b; again at once"),
        (line("dropped", {"id": "c1", "reason": "by hand"}), "dropped: c1: by hand"),
        (line("something-new", {"x": 1}), "something-new"),
    ],
)
def test_each_word(record: dict[str, Any], words: str) -> None:
    assert says(record) == words


def test_every_word_that_a_step_records_is_known() -> None:
    written = "\n".join(path.read_text("utf-8") for path in LUA.glob("*.lua"))
    calls = re.findall(r"record\(K, A, now, ([^\n]*?), (?:lease\.token|A\.token|''),", written)
    assert len(calls) > 10
    literal = {word for call in calls for word in re.findall(r"'([a-z-]+)'", call)}
    named_by_callers = {"ran", "skipped", "failed", "handed-back", "busy", "cancelled"}  # settle's outcomes and park's kinds
    assert literal | named_by_callers == set(WORDS)


def test_the_newest_come_first_and_no_more_than_asked() -> None:
    records = [line("ran", {}, at=NOW - age) for age in (30_000, 20_000, 10_000)]
    assert tell(records, NOW, 2) == (
        Told(NOW - 10_000, 10_000, "ran", "heartbeat ended well: ops-8"),
        Told(NOW - 20_000, 20_000, "ran", "heartbeat ended well: ops-8"),
    )
    assert tell([], NOW) == ()
