"""Grammar of session keys: `agent:<agentId>:<rest>`. Validates and folds case; never repairs one key into another agent's.

Pure text: knows no configuration, no bindings and no agents. Who owns a key that is not an agent key is decided in `resolve`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from dispatcher.core.errors import InvalidAddress

DEFAULT_MAIN_KEY = "main"
AGENT_ID_RULE = "letters, digits, _ and -, first a letter or digit, at most 64"
SENTINELS = frozenset({"global", "unknown"})

_PREFIX = "agent:"
_REMEMBERED_CHARS = 512
# ASCII only: `str.lower` maps the Kelvin sign to `k`, which would fold a foreign spelling into an existing id.
_AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SIGNAL_GROUP = re.compile(r"(?:^|:)signal:group:([^:]+)", re.ASCII | re.IGNORECASE)
_MATRIX_ROOM = re.compile(r"matrix:(?:channel|group):", re.ASCII | re.IGNORECASE)
_LAST_THREAD = re.compile(r"(.*):thread:(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
_CRON_RUN = re.compile(r"cron:[^:]+:run:[^:]+(?=:|$)", re.ASCII | re.IGNORECASE)
_SUBAGENT = re.compile(r"(?:^|:)subagent(?=:)", re.ASCII | re.IGNORECASE)


class Shape(StrEnum):
    """What a text is, before anybody asks whom it belongs to."""

    MISSING = "missing"
    AGENT = "agent"
    MALFORMED_AGENT = "malformed_agent"
    LEGACY_OR_ALIAS = "legacy_or_alias"


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A well-formed agent key in canonical case. `key` is `agent:<agent_id>:<rest>`; parsing it again gives the same value."""

    agent_id: str
    rest: str
    key: str


def valid_agent_id(agent_id: str | None) -> bool:
    """Whether this is an agent id in any case: ASCII letters, digits, `_`, `-`, first a letter or digit, at most 64."""
    return agent_id is not None and _AGENT_ID.fullmatch(agent_id) is not None


def fold_agent_id(agent_id: str) -> str:
    """The agent id in lower case. Raises InvalidAddress for a text that is none."""
    if not valid_agent_id(agent_id):
        raise InvalidAddress("unknown-agent", f"{agent_id[:80]!r} is no agent id; use {AGENT_ID_RULE}")
    return agent_id.lower()


def parse(key: str | None) -> ParsedKey | None:
    """The canonical form of an agent key; None for everything else. White space around the key is not part of it.

    Length, control characters and encoding are not looked at: `Address` and `resolve` refuse those.
    """
    text = (key or "").strip()
    return _remembered(text) if len(text) <= _REMEMBERED_CHARS else _parse(text)


def _parse(text: str) -> ParsedKey | None:
    if not _has_prefix(text):
        return None
    agent_id, _, rest = text[len(_PREFIX) :].partition(":")
    if not valid_agent_id(agent_id) or not rest.partition(":")[0].strip():
        return None
    agent_id, rest = agent_id.lower(), canonical_rest(rest)
    return ParsedKey(agent_id, rest, f"{_PREFIX}{agent_id}:{rest}")


_remembered = lru_cache(maxsize=4_096)(_parse)  # one key is parsed several times on its way, and comes again with the next completion


def shape(key: str | None) -> Shape:
    """Classify a key; a text that starts with `agent:` and does not parse is malformed, never an alias."""
    text = (key or "").strip()
    if not text:
        return Shape.MISSING
    if not _has_prefix(text):
        return Shape.LEGACY_OR_ALIAS
    return Shape.AGENT if parse(text) else Shape.MALFORMED_AGENT


def canonical(key: str | None) -> str:
    """The spelling under which two keys are the same key: canonical for an agent key, else only without outer white space."""
    parsed = parse(key)
    return parsed.key if parsed else (key or "").strip()


def qualify(agent_id: str, key: str, main_key: str = DEFAULT_MAIN_KEY) -> str:
    """The session key that a bare key means for this agent; `main` means its main session.

    A well-formed agent key comes back canonical and keeps its own agent: whoever cares must compare the owners.
    Raises InvalidAddress for a blank or malformed key and for an agent id that is none.
    """
    text = key.strip()
    match shape(text):
        case Shape.MISSING:
            raise InvalidAddress("missing-key", f"qualify for agent {agent_id!r}: the session key is blank; name a session")
        case Shape.AGENT:
            return canonical(text)
        case Shape.LEGACY_OR_ALIAS if text.lower() == DEFAULT_MAIN_KEY:
            return main_session(agent_id, main_key)
        case Shape.LEGACY_OR_ALIAS:
            parsed = parse(f"{_PREFIX}{fold_agent_id(agent_id)}:{text}")
            if parsed:
                return parsed.key
    raise InvalidAddress("malformed-key", f"qualify for agent {agent_id!r}: {key[:80]!r} is a malformed session key; see agent:<id>:<rest>")


def main_session(agent_id: str, main_key: str = DEFAULT_MAIN_KEY) -> str:
    """The agent's main session. A blank `main_key` is the default one. Raises InvalidAddress for an agent id that is none."""
    return f"{_PREFIX}{fold_agent_id(agent_id)}:{canonical_rest(main_key.strip()) or DEFAULT_MAIN_KEY}"


def settle_target(parsed: ParsedKey, main_key: str = DEFAULT_MAIN_KEY) -> str:
    """The session that a completion of this one goes to: a cron run ends by itself, so its agent's main session; else its own."""
    if parsed.rest == DEFAULT_MAIN_KEY or _CRON_RUN.match(parsed.rest):
        return main_session(parsed.agent_id, main_key)
    return parsed.key


def is_sentinel(key: str | None) -> bool:
    """`global` and `unknown` name no session; an agent's own `agent:ops:global` does."""
    return (key or "").strip().lower() in SENTINELS


def is_cron(key: str | None) -> bool:
    """Whether this is a cron session of an agent, a run or the job itself."""
    parsed = parse(key)
    return parsed is not None and parsed.rest.startswith("cron:")


def cron_run_suffix(key: str | None) -> tuple[str | None, str | None]:
    """(job's session, run id) of a key that ends with a cron run, else (key, None); the spelling stays as it came."""
    text = (key or "").strip()
    parsed = parse(text)
    if parsed:
        match = _CRON_RUN.match(parsed.rest)
        if match and match.end() == len(parsed.rest):
            base, _, run = text.rpartition(":")
            return base[: -len(":run")], run
    return text or None, None


def subagent_depth(key: str | None) -> int:
    """How many subagents deep this session lies; 0 for a session of the agent itself."""
    if "subagent:" not in (key or "").lower():
        return 0
    parsed = parse(key)
    return len(_SUBAGENT.findall(parsed.rest if parsed else (key or "").strip()))


def is_subagent(key: str | None) -> bool:
    """Whether completions of this session are riders. Ask it of the settle target: a cron run's subagent belongs to main, as a wake."""
    return subagent_depth(key) > 0


def canonical_rest(rest: str) -> str:
    """Lower case, except the opaque ids: of a Signal group one segment, of a Matrix room all but the last `:thread:` marker."""
    plain = rest.lower()
    if not plain.startswith("matrix:") and "signal:group:" not in plain:  # which most are
        return plain
    room = _MATRIX_ROOM.match(rest)
    if room:
        head, tail = rest[: room.end()].lower(), rest[room.end() :]
        thread = _LAST_THREAD.fullmatch(tail)
        return head + (f"{thread[1]}:thread:{thread[2]}" if thread else tail)
    folded, done = "", 0
    for group in _SIGNAL_GROUP.finditer(rest):
        folded += rest[done : group.start(1)].lower() + group[1]
        done = group.end()
    return folded + rest[done:].lower()


def _has_prefix(text: str) -> bool:
    return text[: len(_PREFIX)].lower() == _PREFIX
