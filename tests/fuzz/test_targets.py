"""Each target of the campaign on inputs that Hypothesis makes from its seeds: a short round of `make fuzz` in every run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import PURE, SEEDS
from tests.fuzz.varied import JSON, varied


@pytest.mark.parametrize("name", PURE)
def test_a_seed_is_taken_or_refused(name: str) -> None:
    assert all(PURE[name](seed) for seed in SEEDS[name])


@pytest.mark.parametrize("name", PURE)
def test_anything_is_taken_or_refused_with_a_reason(name: str) -> None:
    @given(varied(SEEDS[name]) | st.binary(max_size=300))
    def feed(data: bytes) -> None:
        assert PURE[name](data)

    feed()


@given(st.dictionaries(st.sampled_from(["completion_id", "session_key", "agent_id", "output", "exit_code", "started_at", "v", "x"]), JSON))
def test_values_of_any_type_are_taken_or_refused(words: dict[str, object]) -> None:
    data = json.dumps(words).encode()
    assert all(PURE[name](data) for name in ("completions and wakes", "bodies in the inbox", "spool files"))
