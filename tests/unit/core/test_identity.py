"""Ids that survive a retry, and digests that tell a duplicate from a conflict."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dispatcher.core.errors import InvalidCompletion
from dispatcher.core.identity import derive_completion_id, new_completion_id, payload_digest
from dispatcher.core.models import ExecCompletion

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def digest(**change: Any) -> str:
    """The digest of one completion, changed in some fields."""
    fields: dict[str, Any] = {
        "completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 0, "output": "ok", "finished_at": NOON,
        "extra": {"a": 1, "b": [2]},
    }  # fmt: skip
    return payload_digest(ExecCompletion(**{**fields, **change}))


def test_new_ids_are_version_7_and_differ() -> None:
    ids = [new_completion_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {uuid.UUID(new).version for new in ids} == {7}
    assert ids == sorted(ids)


FORKS = """
import multiprocessing
from dispatcher.core.identity import new_completion_id

def draw(_):
    return [new_completion_id() for _ in range(200)]

new_completion_id()
with multiprocessing.get_context("fork").Pool(4) as pool:
    ids = sum(pool.map(draw, range(16), chunksize=1), [])
print(len(ids), len(set(ids)))
"""


def test_forked_children_never_draw_the_same_id() -> None:
    """The second completion of an id is answered as a duplicate of the first one: it would be lost."""
    said = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.split() == ["3200", "3200"]


def test_a_derived_id_depends_on_all_three_parts_and_on_nothing_else() -> None:
    base = derive_completion_id("agent:ops:main", "run1", "step1")
    assert base == derive_completion_id(" AGENT:Ops:Main ", "run1", "step1")
    parts = [("agent:ops:x", "run1", "step1"), ("agent:ops:main", "run", "1step1"), ("agent:ops:main", "run1", "step2"),
             ("agent:ops:main", "RUN1", "step1")]  # fmt: skip
    assert len({base, *(derive_completion_id(*part) for part in parts)}) == 5
    assert ExecCompletion(completion_id=base).completion_id == base


@pytest.mark.parametrize(("key", "run_id", "step_id"), [("agent:a:x", "run", ""), ("agent:a:x", " ", "step"), ("", "run", "step")])
def test_an_id_is_never_derived_from_less(key: str, run_id: str, step_id: str) -> None:
    with pytest.raises(InvalidCompletion, match="blank"):
        derive_completion_id(key, run_id, step_id)


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"session_key": "AGENT:Ops:MAIN"},
        {"completion_id": "another"},
        {"trace": {"traceparent": "00-1"}},
        {"finished_at": NOON.astimezone(timezone(timedelta(hours=2)))},
        {"finished_at": "2026-01-01T12:00:00Z"},
        {"finished_at": NOON.timestamp()},
        {"extra": {"b": [2], "a": 1}},
        {"agent_id": ""},
        {"run_id": None},
    ],
)
def test_retries_of_one_value_have_one_digest(same: dict[str, Any]) -> None:
    assert digest(**same) == digest()


@pytest.mark.parametrize(
    "other",
    [{"session_key": "agent:ops:x"}, {"session_key": "node-x"}, {"exit_code": 1}, {"exit_code": None}, {"output": "ok\n"},
     {"agent_id": "ops"}, {"signal": "SIGKILL"}, {"timed_out": True}, {"run_id": "r"}, {"more": 1}, {"finished_at": None},
     {"extra": {"a": 2, "b": [2]}}],
)  # fmt: skip
def test_another_value_has_another_digest(other: dict[str, Any]) -> None:
    assert digest(**other) != digest()


def test_an_unknown_field_that_is_not_json_is_refused_with_its_remedy() -> None:
    with pytest.raises(InvalidCompletion, match="submit c1: a field is not JSON"):
        digest(extra=object())
