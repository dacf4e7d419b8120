"""Who owns a key: each step of the order, each refusal, and that nothing falls through to somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.errors import InvalidAddress
from dispatcher.core.resolve import Resolved, resolve

BINDINGS = {"node-mac": "research", "Phone": "Ops", "bad": "no such agent", "agent:ops:main": "thief", "agent::x": "thief", "main": "desk"}


def ask(key: str | None, agent_id: str | None = None, **change: Any) -> Resolved:
    """Resolve with four known agents and the bindings above; there is no default agent unless given."""
    settings: dict[str, Any] = {
        "default_agent": None,
        "known": {"ops", "research", "primary", "desk"}.__contains__,
        "enabled": lambda agent: agent != "desk",
    }
    return resolve(key, agent_id, BINDINGS, **{**settings, **change})


@pytest.mark.parametrize(
    ("key", "agent_id", "default_agent", "answer"),
    [
        ("agent:ops:main", None, None, Resolved("ops", "agent:ops:main", "session-key")),
        (" Agent:OPS:Incident-1 ", "Ops", "primary", Resolved("ops", "agent:ops:incident-1", "session-key")),
        ("agent:ops:cron:job:run:7", None, None, Resolved("ops", "agent:ops:main", "session-key")),
        ("agent:ops:subagent:w", None, None, Resolved("ops", "agent:ops:subagent:w", "session-key")),
        ("node-mac", None, None, Resolved("research", "agent:research:node-mac", "binding")),
        ("Phone", None, "primary", Resolved("ops", "agent:ops:phone", "binding")),
        ("node-mac", "research", None, Resolved("research", "agent:research:node-mac", "binding")),
        ("node-x", "ops", None, Resolved("ops", "agent:ops:node-x", "session-key")),
        ("global", "ops", None, Resolved("ops", "agent:ops:global", "session-key")),
        ("", "ops", None, Resolved("ops", "agent:ops:main", "session-key")),
        ("node-x", None, "primary", Resolved("primary", "agent:primary:node-x", "default")),
        ("node-x", " ", "Primary", Resolved("primary", "agent:primary:node-x", "default")),
        ("unknown", None, "primary", Resolved("primary", "agent:primary:unknown", "default")),
        ("cron:job:run:7", None, "primary", Resolved("primary", "agent:primary:main", "default")),
        (None, None, "primary", Resolved("primary", "agent:primary:main", "default")),
    ],
)
def test_the_order_of_owners(key: str | None, agent_id: str | None, default_agent: str | None, answer: Resolved) -> None:
    resolved = ask(key, agent_id, default_agent=default_agent)
    assert resolved == answer
    assert resolved.address.agent_id == answer.agent_id
    assert resolved.address.session_key == answer.session_key


@pytest.mark.parametrize(
    ("key", "agent_id", "default_agent", "reason"),
    [
        ("", None, None, "missing-key"),
        ("  \n", None, " ", "missing-key"),
        ("agent::x", None, "primary", "malformed-key"),
        ("agent:ops", None, "primary", "malformed-key"),
        ("agent:ops::main", "ops", "primary", "malformed-key"),
        ("agent:o\u212a:main", None, "primary", "malformed-key"),
        (":x", "ops", None, "malformed-key"),
        ("agent:ops:ma\x00in", None, None, "malformed-key"),
        ("agent:ops:main\n", None, None, "malformed-key"),
        ("agent:ops:\x85", None, None, "malformed-key"),
        ("agent:ops:\ud800", None, None, "malformed-key"),
        ("node-x", None, None, "unbound-key"),
        ("global", None, None, "unbound-key"),
        ("unknown", None, None, "unbound-key"),
        ("node-MAC", None, None, "unbound-key"),
        ("agent:ops:main", "research", None, "owner-mismatch"),
        ("agent:ops:main", "o ps", None, "owner-mismatch"),
        ("node-mac", "ops", None, "owner-mismatch"),
        ("agent:stranger:main", None, "primary", "unknown-agent"),
        ("node-x", "stranger", "primary", "unknown-agent"),
        ("node-x", "*", None, "unknown-agent"),
        ("node-x", "ops,research", None, "unknown-agent"),
        ("bad", None, None, "unknown-agent"),
        ("node-x", None, "not an id", "unknown-agent"),
        ("main", None, "primary", "agent-disabled"),
        ("agent:desk:main", None, None, "agent-disabled"),
        ("x" * 10_240, "ops", None, "too-large"),
        ("agent:ops:" + "x" * 503, None, None, "too-large"),
        ("x" * 505, "ops", None, "too-large"),
        ("agent:ops:" + "\u023a" * 251, None, None, "too-large"),
    ],
)
def test_each_refusal_has_its_reason_and_a_remedy(key: str, agent_id: str | None, default_agent: str | None, reason: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        ask(key, agent_id, default_agent=default_agent)
    assert refusal.value.reason == reason
    assert str(refusal.value).startswith(("resolve session key ", "qualify for agent "))
    assert len(str(refusal.value)) < 800


def test_the_longest_key_is_accepted() -> None:
    assert len(ask("agent:ops:" + "x" * 502).session_key) == 512


def test_a_configured_main_key_is_where_main_lies() -> None:
    assert ask("agent:ops:main", main_key="Work").session_key == "agent:ops:work"
    assert ask("", "ops", main_key="Work").session_key == "agent:ops:work"


def test_a_main_key_that_makes_no_session_is_refused() -> None:
    with pytest.raises(InvalidAddress) as refusal:
        ask("", "ops", main_key=":x")
    assert refusal.value.reason == "malformed-key"


def test_unknown_agents_can_be_accepted() -> None:
    assert ask("agent:stranger:main", known=lambda _: True).agent_id == "stranger"
