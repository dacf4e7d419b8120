"""What is said of a completion that is refused at the edge."""

from __future__ import annotations

import re

import pytest

from dispatcher.core.errors import InvalidCompletion
from dispatcher.submit import completion_of, wake_request_of


def test_a_name_that_is_not_valid_is_told_what_would_be() -> None:
    """In words: what pydantic says is the pattern."""
    meant = re.escape("submit completion='a b': completion_id: must be 1 to 200 visible ASCII characters, no space; nothing was written")
    with pytest.raises(InvalidCompletion, match=f"^{meant}$"):
        completion_of({"completion_id": "a b", "session_key": "agent:ops:main"})
    with pytest.raises(InvalidCompletion, match=r"^submit wake='ä': wake_id: must be 1 to 200 visible"):
        wake_request_of({"wake_id": "ä", "agent_id": "ops"})


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InvalidCompletion, match=r"session_key: .*; exit_code: .*nothing was written"):
        completion_of({"session_key": 5, "exit_code": "none"})
