"""Grammar, case and aliases of session keys."""

from __future__ import annotations

import pytest

from dispatcher.core import session_key as keys
from dispatcher.core.errors import InvalidAddress


@pytest.mark.parametrize(
    ("key", "agent_id", "rest"),
    [
        ("agent:ops:main", "ops", "main"),
        ("  AGENT:Main:Hook:Webhook:42 ", "main", "hook:webhook:42"),
        ("agent:voice:room::part", "voice", "room::part"),
        ("agent:ops:cron:", "ops", "cron:"),
        ("Agent:Ops:Signal:Group:AbC:Thread:XyZ", "ops", "signal:group:AbC:thread:xyz"),
        ("agent:ops:work:signal:group:AbC=", "ops", "work:signal:group:AbC="),
        ("Agent:Ops:Matrix:Channel:!Room:Org:Thread:$Event", "ops", "matrix:channel:!Room:Org:thread:$Event"),
        ("agent:ops:matrix:GROUP:!Room:Example.ORG", "ops", "matrix:group:!Room:Example.ORG"),
        ("agent:ops:matrix:channel:!A:Thread:B:THREAD:$C", "ops", "matrix:channel:!A:Thread:B:thread:$C"),
        ("agent:ops:matrix:channel:", "ops", "matrix:channel:"),
        ("agent:ops:matrix:room:!Room", "ops", "matrix:room:!room"),
        ("agent:ops:telegram:group:MiXeD", "ops", "telegram:group:mixed"),
        ("agent:ops:agent:other:matrix:channel:!Room", "ops", "agent:other:matrix:channel:!room"),
    ],
)
def test_an_agent_key_has_one_canonical_form(key: str, agent_id: str, rest: str) -> None:
    parsed = keys.parse(key)
    assert parsed == keys.ParsedKey(agent_id, rest, f"agent:{agent_id}:{rest}")
    assert parsed == keys.parse(parsed.key)
    assert keys.shape(key) is keys.Shape.AGENT


@pytest.mark.parametrize(
    "key",
    ["agent:", "agent:ops", "agent:ops:", "agent::x", "agent:ops::main", "agent: :x", "agent:ops: :x", "AGENT:o ps:x", "agent:-x:y",
     "agent:\u212ain:x", "agent:" + "a" * 65 + ":x"],
)  # fmt: skip
def test_what_begins_like_an_agent_key_and_is_none_is_malformed(key: str) -> None:
    assert keys.parse(key) is None
    assert keys.shape(key) is keys.Shape.MALFORMED_AGENT
    with pytest.raises(InvalidAddress, match="malformed") as refusal:
        keys.qualify("ops", key)
    assert refusal.value.reason == "malformed-key"


@pytest.mark.parametrize("key", [":agent:ops:main", "agents:ops:main", "agent", "node-x", "cron:job-1", "a:agent:ops:main"])
def test_everything_else_is_an_alias_that_names_no_agent(key: str) -> None:
    assert keys.parse(key) is None
    assert keys.shape(key) is keys.Shape.LEGACY_OR_ALIAS
    assert keys.canonical(f" {key} ") == key


@pytest.mark.parametrize("key", [None, "", "   ", "\t\n"])
def test_a_blank_key_is_missing(key: str | None) -> None:
    assert keys.shape(key) is keys.Shape.MISSING
    with pytest.raises(InvalidAddress, match="blank"):
        keys.qualify("ops", key or "")


@pytest.mark.parametrize("agent_id", ["main", "my-research_agent01", "0", "A" * 64, "a-"])
def test_valid_agent_ids(agent_id: str) -> None:
    assert keys.valid_agent_id(agent_id)


@pytest.mark.parametrize("agent_id", [None, "", "a" * 65, "-a", "_a", "a b", " a", "a\n", "a:b", "../etc", "ä", "\u212a", "*", "a,b"])
def test_an_agent_id_is_validated_and_never_repaired(agent_id: str | None) -> None:
    assert not keys.valid_agent_id(agent_id)
    with pytest.raises(InvalidAddress, match="no agent id"):
        keys.main_session(agent_id or "")


@pytest.mark.parametrize(
    ("agent_id", "key", "main_key", "full"),
    [
        ("Ops", "Incident-42", "main", "agent:ops:incident-42"),
        ("ops", "main", "work", "agent:ops:work"),
        ("ops", " MAIN ", "Work", "agent:ops:work"),
        ("ops", "main", "", "agent:ops:main"),
        ("ops", "work", "work", "agent:ops:work"),
        ("ops", "UNKNOWN", "main", "agent:ops:unknown"),
        ("ops", "matrix:channel:!Room:Org", "main", "agent:ops:matrix:channel:!Room:Org"),
        ("ops", "Agent:Main:Incident-42", "main", "agent:main:incident-42"),
    ],
)
def test_a_bare_key_is_qualified_with_the_agent(agent_id: str, key: str, main_key: str, full: str) -> None:
    assert keys.qualify(agent_id, key, main_key) == full


def test_a_bare_key_that_would_make_a_malformed_one_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="malformed"):
        keys.qualify("ops", ":x")


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("agent:ops:cron:job:run:abc", "agent:ops:work"),
        ("agent:ops:cron:job:run:abc:subagent:w", "agent:ops:work"),
        ("AGENT:Ops:CRON:Job:RUN:Abc:thread:r", "agent:ops:work"),
        ("agent:ops:cron:job", "agent:ops:cron:job"),
        ("agent:ops:cron:job:run:", "agent:ops:cron:job:run:"),
        ("agent:ops:cron:run:job:run:abc:extra", "agent:ops:cron:run:job:run:abc:extra"),
        ("agent:ops:slack:cron:job:run:1", "agent:ops:slack:cron:job:run:1"),
        ("agent:ops:main", "agent:ops:work"),
        ("agent:ops:main:x", "agent:ops:main:x"),
    ],
)
def test_a_completion_of_a_cron_run_goes_to_main(key: str, target: str) -> None:
    parsed = keys.parse(key)
    assert parsed
    assert keys.settle_target(parsed, "work") == target


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("AGENT:Work:CRON:Nightly-Job:RUN:ABC-123", ("AGENT:Work:CRON:Nightly-Job", "ABC-123")),
        ("agent:main:cron:backup", ("agent:main:cron:backup", None)),
        ("agent:main:slack:channel:general:run:42", ("agent:main:slack:channel:general:run:42", None)),
        ("agent:main:cron:job:run:abc:extra", ("agent:main:cron:job:run:abc:extra", None)),
        ("cron:job:run:abc", ("cron:job:run:abc", None)),
        ("  ", (None, None)),
        (None, (None, None)),
    ],
)
def test_the_suffix_of_a_cron_run(key: str | None, split: tuple[str | None, str | None]) -> None:
    assert keys.cron_run_suffix(key) == split


@pytest.mark.parametrize(
    ("key", "depth"),
    [("agent:main:subagent:a", 1), ("agent:main:SUBAGENT:a:subagent:b", 2), ("subagent:a", 1), ("agent:main:subagent", 0),
     ("agent:main:not-subagent:a", 0), ("agent:subagent:main", 0), (None, 0)],
)  # fmt: skip
def test_subagent_depth(key: str | None, depth: int) -> None:
    assert keys.subagent_depth(key) == depth
    assert keys.is_subagent(key) is (depth > 0)


@pytest.mark.parametrize(
    ("key", "cron"), [("agent:a:cron:j:run:r:subagent:w", True), ("agent:a:CRON:j", True), ("agent:a:cronos:j", False)]
)
def test_cron_sessions(key: str, cron: bool) -> None:
    assert keys.is_cron(key) is cron


@pytest.mark.parametrize(("key", "sentinel"), [(" Global ", True), ("unknown", True), ("incident-42", False), (None, False)])
def test_sentinels(key: str | None, sentinel: bool) -> None:
    assert keys.is_sentinel(key) is sentinel
