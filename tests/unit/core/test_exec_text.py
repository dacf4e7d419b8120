"""What an agent reads about a finished exec, and what it is spared."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.exec_text import clean, exec_text, exec_wake, has_failed, quiet_reason
from dispatcher.core.models import ExecCompletion, Intent, Source


def exited(**fields: Any) -> ExecCompletion:
    """A completion with an id longer than what the text shows."""
    return ExecCompletion(**{"completion_id": "0123456789abcdef", "session_key": "agent:ops:main", **fields})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"exit_code": 0}, "Exec completed (01234567, code 0)"),
        ({"exit_code": 3, "output": "a\n\n  b\t c\n"}, "Exec completed (01234567, code 3) :: a b c"),
        ({"exit_code": 127, "run_id": "run-9"}, "Exec failed (01234567, code 127, run run-9)"),
        ({"exit_code": 126}, "Exec failed (01234567, code 126)"),
        ({"signal": "SIGTERM"}, "Exec failed (01234567, signal SIGTERM)"),
        ({"signal": "SIGKILL", "exit_code": 137, "timed_out": True}, "Exec failed (01234567, signal SIGKILL)"),
        ({"timed_out": True}, "Exec failed (01234567, timeout)"),
        ({"timed_out": True, "exit_code": 0}, "Exec failed (01234567, code 0)"),
        ({}, "Exec completed (01234567, unknown exit code)"),
        ({"exit_code": 0, "completion_id": "c1"}, "Exec completed (c1, code 0)"),
        ({"exit_code": 0, "run_id": "r\n1\x1b[3m", "output": "\x1b[1mred\x1b[m\x07"}, "Exec completed (01234567, code 0, run r 1) :: red"),
        ({"exit_code": 0, "output": "end" + " " * 500}, "Exec completed (01234567, code 0) :: end"),
    ],
)
def test_the_text(fields: dict[str, Any], text: str) -> None:
    assert exec_text(exited(**fields)) == text
    assert has_failed(exited(**fields)) is ("failed" in text)


@pytest.mark.parametrize(
    ("output", "snippet"),
    [
        ("x" * 180, "x" * 180),
        ("x" * 181, "x" * 179 + "…"),
        ("a" * 400 + "b" * 230 + "c" * 170, "b" * 179 + "…"),
        ("🎉" * 300, "🎉" * 89 + "…"),
        ("a" + "🎉" * 90, "a" + "🎉" * 89 + "…"),
    ],
)
def test_the_snippet_is_the_bounded_beginning_of_the_end(output: str, snippet: str) -> None:
    assert exec_text(exited(exit_code=0, output=output)).partition(" :: ")[2] == snippet


def test_a_long_run_id_does_not_make_a_long_text() -> None:
    assert len(exec_text(exited(exit_code=0, run_id="r" * 4096, output="x" * 5000))) < 320


@pytest.mark.parametrize(
    ("fields", "quiet", "quiet_when_notifying"),
    [
        ({"exit_code": 0}, True, False),
        ({"exit_code": 0, "output": " \n\x1b[0m"}, True, False),
        ({"exit_code": 0, "output": "done"}, False, False),
        ({"exit_code": 1}, False, False),
        ({"exit_code": 0, "timed_out": True}, False, False),
        ({}, False, False),
        ({"signal": "SIGKILL", "cancelled": True}, True, True),
        ({"cancelled": True, "output": "partial"}, False, False),
        ({"signal": "SIGKILL"}, False, False),
    ],
)
def test_quiet_completions(fields: dict[str, Any], quiet: bool, quiet_when_notifying: bool) -> None:
    assert (quiet_reason(exited(**fields), "output") is not None) is quiet
    assert (quiet_reason(exited(**fields), "always") is not None) is quiet_when_notifying


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("10%\r20%\r\nend", "10%\n20%\nend"),
        ("\x1b[1;31mred\x1b[0m \x9b32mgreen", "red green"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;open title\nnext line", "\nnext line"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b(Bascii \x1b7saved\x1b", "ascii saved"),
        ("\x1b[?25", ""),
        ("a\x00\x07\x08\x7f\x85b", "ab"),
        ("x\u202egnp.exe \u2066i\u2069", "xgnp.exe i"),
        ("see\U000e0049\U000e0067nore", "seenore"),
        ("lone \ud83c end", "lone  end"),
        ("👩‍💻 äöü \ufffd", "👩‍💻 äöü \ufffd"),
        ("line\u2028end", "line\nend"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


def test_the_wake_of_a_completion_says_what_the_completion_said() -> None:
    completion = exited(exit_code=127, output="x", session_key="Node-X", finished_at="2026-01-01T00:00:00Z")
    wake = exec_wake(completion, via="binding", accepted_at_ms=5)
    assert wake.model_dump(exclude={"text"}) == {
        "wake_id": "0123456789abcdef", "source": Source.EXEC_EVENT, "intent": Intent.EVENT, "reason": "exec-event", "failed": True,
        "exit_code": 127, "signal": None, "timed_out": False, "finished_at": "2026-01-01T00:00:00+00:00", "key": "Node-X", "via": "binding",
        "trace": None, "lineage": {"root": completion.completion_id, "depth": 0, "agent_id": None}, "accepted_at_ms": 5,
    }  # fmt: skip
    assert wake.text == "Exec failed (01234567, code 127) :: x"
