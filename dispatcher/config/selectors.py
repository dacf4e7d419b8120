"""Names as they stand in wake.toml: agent ids, patterns, pool names, binding keys. Checked and folded, never repaired."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator

from dispatcher.core import session_key as keys
from dispatcher.core.errors import InvalidAddress
from dispatcher.core.models import MAX_SESSION_KEY_BYTES

_PATTERN = re.compile(r"[a-z0-9_*?-]{1,64}")
_POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WILD = re.compile(r"[*?]")


def is_pattern(selector: str) -> bool:
    return _WILD.search(selector) is not None


def hold_selector(text: str) -> tuple[str, bool]:
    """(`ops`, `lab-*` or `pool:research` in lower case, whether it may mean more than one agent). Raises InvalidAddress."""
    kind, colon, name = text.partition(":")
    try:
        if colon and kind.lower() == "pool":
            return f"pool:{_pool(name)}", True
        return _selector(text), is_pattern(text)
    except ValueError as error:
        raise InvalidAddress("unknown-agent", f"selector {text[:80]!r}: {error}; write an agent, a pattern (lab-*), or pool:NAME") from None


def specificity(pattern: str) -> tuple[int, int, str]:
    """Sorts patterns: longer text before the first wildcard, then more text in all, then by name, so that there is always one winner."""
    return len(_WILD.split(pattern, maxsplit=1)[0]), len(_WILD.sub("", pattern)), pattern


def matching(patterns: Iterable[str], agent_id: str) -> list[str]:
    """The patterns that match a folded agent id, the most specific last."""
    return sorted((p for p in patterns if fnmatchcase(agent_id, p)), key=specificity)


def _agent(text: str) -> str:
    if is_pattern(text):
        raise ValueError(f"must be one agent id, {text!r} is a pattern")
    if not keys.valid_agent_id(text):
        raise ValueError(f"{text[:80]!r} is no agent id ({keys.AGENT_ID_RULE})")
    return text.lower()


def _selector(text: str) -> str:
    if not is_pattern(text):
        return _agent(text)
    if not text.isascii() or not _PATTERN.fullmatch(text.lower()):
        raise ValueError(f"{text[:80]!r} is no pattern of agent ids; only * and ? are wild")
    return text.lower()


def _pool(text: str) -> str:
    if not _POOL.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no pool name (lower-case letters, digits, _ and -, first a letter or digit)")
    if text == "inbox":
        raise ValueError("a pool cannot be called inbox: that queue is the router's")
    return text


def binding_key(text: str) -> str:
    """The key as it is. Raises ValueError for one that no completion could come with, or that names its agent itself."""
    if text != text.strip() or keys.shape(text) is not keys.Shape.LEGACY_OR_ALIAS:
        raise ValueError(f"{text[:80]!r} cannot be bound: a binding is for an exact key that is not blank and does not start with agent:")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text) or len(text.encode()) > MAX_SESSION_KEY_BYTES:
        raise ValueError(f"{text[:80]!r} cannot be bound: no session key has control characters or more than {MAX_SESSION_KEY_BYTES} bytes")
    return text


OneAgent = Annotated[str, AfterValidator(_agent)]
AgentSelector = Annotated[str, AfterValidator(_selector)]
PoolName = Annotated[str, AfterValidator(_pool)]
BindingKey = Annotated[str, AfterValidator(binding_key)]
