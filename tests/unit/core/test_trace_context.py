"""The trace context of W3C: what is taken, and what is left out."""

from __future__ import annotations

import pytest

from dispatcher.core.trace_context import MAX_STATE_CHARS, from_variables, trace_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_both_texts_are_taken_and_nothing_else() -> None:
    assert trace_context({"traceparent": PARENT, "tracestate": "a=b,c=d", "baggage": "x=y"}) == {
        "traceparent": PARENT,
        "tracestate": "a=b,c=d",
    }
    assert from_variables({"TRACEPARENT": PARENT, "TRACESTATE": "", "PATH": "/bin"}) == {"traceparent": PARENT}
    assert from_variables({"PATH": "/bin"}) is None


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"{PARENT}\n",
        f"{PARENT}-later",
    ],
)
def test_a_malformed_parent_is_none(parent: str) -> None:
    assert trace_context({"traceparent": parent, "tracestate": "a=b"}) is None


@pytest.mark.parametrize("state", ["a=b\r\nX: y", "a=é", "a" * (MAX_STATE_CHARS + 1)])
def test_a_state_that_no_header_can_carry_is_left_out(state: str) -> None:
    assert trace_context({"traceparent": PARENT, "tracestate": state}) == {"traceparent": PARENT}
