"""Who owns a session key. Exactly one answer or one refusal with its reason; no answer widens.

The order is part of the promise: well-formed agent key, then binding, then the agent that the producer names for a bare key,
then the configured default agent. A malformed agent key is refused at once: it must never fall to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dispatcher.core import session_key as keys
from dispatcher.core.errors import InvalidAddress
from dispatcher.core.models import CONTROL, MAX_SESSION_KEY_BYTES, Address, DeadReason, Via


@dataclass(frozen=True, slots=True)
class Resolved:
    """One agent, the session that the completion goes to (canonical, cron runs folded into main), and how the owner was found."""

    agent_id: str
    session_key: str
    via: Via

    @property
    def address(self) -> Address:
        """The same as the only thing that a mailbox accepts."""
        return Address(agent_id=self.agent_id, session_key=self.session_key)


def resolve(
    session_key: str | None,
    agent_id: str | None,
    bindings_lookup: Mapping[str, str],
    default_agent: str | None,
    known: Callable[[str], bool],
    enabled: Callable[[str], bool],
    main_key: str = keys.DEFAULT_MAIN_KEY,
) -> Resolved:
    """Resolve one key. Bindings are looked up by the exact key without outer white space, never for anything that starts with `agent:`.

    A blank `agent_id` or `default_agent` counts as not given. A blank key means the main session of the agent that the completion
    names, or of the default agent. Raises InvalidAddress with a dead letter reason, and nothing else unless a callback raises.
    """
    text = (session_key or "").strip()
    if text:
        _check_text(session_key or "")
    owner, full, via = _owned(text, _given(agent_id), bindings_lookup, _given(default_agent), main_key)
    if not known(owner):
        raise _refuse(DeadReason.UNKNOWN_AGENT, text, f"agent {owner!r} is not configured; add [agents.{owner}] or correct the key")
    if not enabled(owner):
        raise _refuse(DeadReason.AGENT_DISABLED, text, f"agent {owner!r} is disabled; enable it, then revive")
    return Resolved(owner, _target(full, text, main_key), via)


def _owned(text: str, named: str | None, bindings: Mapping[str, str], default_agent: str | None, main_key: str) -> tuple[str, str, Via]:
    parsed = keys.parse(text)
    if parsed:
        _same_owner(text, parsed.agent_id, named, "the key")
        return parsed.agent_id, parsed.key, "session-key"
    if keys.shape(text) is keys.Shape.MALFORMED_AGENT:
        raise _refuse(DeadReason.MALFORMED_KEY, text, "malformed agent session key; the form is agent:<id>:<rest>")
    owner, via = _owner_of_bare(text, named, bindings, default_agent)
    return owner, keys.qualify(owner, text, main_key) if text else keys.main_session(owner, main_key), via


def _owner_of_bare(text: str, named: str | None, bindings: Mapping[str, str], default_agent: str | None) -> tuple[str, Via]:
    bound = bindings.get(text) if text else None
    if bound is not None:
        owner = _agent(bound, text, "the binding")
        _same_owner(text, owner, named, "its binding")
        return owner, "binding"
    if named is not None:
        return _agent(named, text, "the completion"), "session-key"
    if default_agent is not None:
        return _agent(default_agent, text, "routing.default_agent"), "default"
    if not text:
        raise _refuse(DeadReason.MISSING_KEY, text, "blank, and no configured default agent; the producer must send a session key")
    raise _refuse(DeadReason.UNBOUND_KEY, text, "no binding and no configured default agent; `wake bind` it to an agent, then revive")


def _target(full: str, text: str, main_key: str) -> str:
    parsed = keys.parse(full)
    target = keys.parse(keys.settle_target(parsed, main_key)) if parsed else None
    if target is None:
        raise _refuse(DeadReason.MALFORMED_KEY, text, f"no session results with main_key {main_key!r}; correct the key or main_key")
    if target.key != text:
        _check_text(target.key)  # qualifying and lower-casing may lengthen a key
    return target.key


def _given(agent_id: str | None) -> str | None:
    return agent_id if agent_id and agent_id.strip() else None


def _agent(agent_id: str, text: str, said_by: str) -> str:
    if not keys.valid_agent_id(agent_id):
        raise _refuse(DeadReason.UNKNOWN_AGENT, text, f"{said_by} names {agent_id[:80]!r}, which is no agent id; correct it")
    return agent_id.lower()


def _same_owner(text: str, owner: str, named: str | None, said_by: str) -> None:
    if named is not None and not (keys.valid_agent_id(named) and named.lower() == owner):
        message = f"{said_by} says agent {owner!r}, the completion says {named[:80]!r}; send one of them"
        raise _refuse(DeadReason.OWNER_MISMATCH, text, message)


def _check_text(key: str) -> None:
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise _refuse(DeadReason.MALFORMED_KEY, key, "not valid Unicode (a lone surrogate); send UTF-8") from error
    if size > MAX_SESSION_KEY_BYTES:
        raise _refuse(DeadReason.TOO_LARGE, key, f"{size} bytes, at most {MAX_SESSION_KEY_BYTES} are allowed; shorten it")
    if CONTROL.search(key):
        raise _refuse(DeadReason.MALFORMED_KEY, key, "control characters are not allowed; remove them")


def _refuse(reason: DeadReason, text: str, message: str) -> InvalidAddress:
    return InvalidAddress(reason, f"resolve session key {text[:80]!r}: {message}")
