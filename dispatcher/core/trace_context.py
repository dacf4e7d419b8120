"""The trace context of W3C, as it travels with a completion: two short texts, checked and bounded. Needs no tracing library."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_STATE_CHARS = 1024
TRACE_VARIABLES = ("TRACEPARENT", "TRACESTATE")
Context = dict[str, str]
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_context(said: Mapping[str, str]) -> Context | None:
    """`traceparent` and, if it is usable, `tracestate` of what somebody said, and no other words; None without a usable traceparent."""
    parent, state = said.get("traceparent", ""), said.get("tracestate", "")
    if not _PARENT.fullmatch(parent):
        return None
    usable = bool(state) and state.isascii() and state.isprintable() and len(state) <= MAX_STATE_CHARS
    return {"traceparent": parent} | ({"tracestate": state} if usable else {})


def from_variables(env: Mapping[str, str]) -> Context | None:
    """As a command is given it: TRACEPARENT and TRACESTATE."""
    parent = env.get("TRACEPARENT")
    return trace_context({"traceparent": parent, "tracestate": env.get("TRACESTATE", "")}) if parent else None
