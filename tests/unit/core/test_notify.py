"""Of which completions an agent hears, for each `notify`; the others are suppressed, each with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.exec_text import quiet_reason
from dispatcher.core.models import ExecCompletion

SUCCESS = {"exit_code": 0}
KINDS: dict[str, dict[str, Any]] = {
    "success": SUCCESS,
    "success with output": SUCCESS | {"output": "x"},
    "success with blanks": SUCCESS | {"output": " \n\x1b[0m "},
    "code 1": {"exit_code": 1},
    "code 127": {"exit_code": 127, "output": "x"},
    "signal": {"signal": "KILL"},
    "timeout": {"timed_out": True, "exit_code": 0},
    "nothing known": {},
    "cancel": {"cancelled": True, "signal": "TERM"},
    "cancel with output": {"cancelled": True, "output": "x", "exit_code": 130},
}
QUIET = {
    "output": {"success": "empty-success", "success with blanks": "empty-success", "cancel": "cancelled"},
    "always": {"cancel": "cancelled"},
    "failures": {
        "success": "success", "success with output": "success", "success with blanks": "success",
        "cancel": "cancelled", "cancel with output": "cancelled",
    },
    "never": dict.fromkeys(KINDS, "notify-never"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("notify", QUIET)
def test_who_hears_of_what(notify: str, kind: str) -> None:
    assert quiet_reason(ExecCompletion(completion_id="c1", **KINDS[kind]), notify) == QUIET[notify].get(kind)
