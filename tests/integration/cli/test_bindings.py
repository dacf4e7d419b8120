"""`wake bind`, `unbind`, `bindings`."""

from __future__ import annotations

import pytest

from tests.support.wake_cli import WakeCli


def test_bind_list_unbind(wake: WakeCli) -> None:
    assert wake.json("bind", "node-x", "OPS") == {"session_key": "node-x", "agent_id": "ops", "previous": None}
    assert wake.json("bind", "node-x", "research") == {"session_key": "node-x", "agent_id": "research", "previous": "ops"}
    assert wake.json("bindings") == {
        "bindings": [
            {"session_key": "node-lab", "agent_id": "research", "from": "configuration"},
            {"session_key": "node-x", "agent_id": "research", "from": "store"},
        ]
    }
    assert "node-x" in wake.run("bindings").out
    assert wake.json("unbind", "node-x") == {"session_key": "node-x", "removed": True, "agent_id": None}
    gone = wake.run("unbind", "node-x", "--json")
    assert (gone.code, gone.document["removed"]) == (1, False)


def test_a_binding_of_the_file_comes_back_when_the_stores_is_removed(wake: WakeCli) -> None:
    assert wake.json("bind", "node-lab", "ops")["previous"] == "research"
    assert wake.json("resolve", "node-lab")["agent_id"] == "ops"
    assert wake.json("unbind", "node-lab") == {"session_key": "node-lab", "removed": True, "agent_id": "research"}
    done = wake.run("unbind", "node-lab")
    assert done.code == 1
    assert "the configuration binds it to research" in done.out


@pytest.mark.parametrize("key", ["agent:ops:main", "agent::x", "", " node", "a\x07b", "x" * 600])
def test_only_a_key_that_can_come_and_names_nobody_is_bound(wake: WakeCli, key: str) -> None:
    done = wake.run("bind", key, "ops", "--json")
    assert done.code == 2
    assert "cannot be bound" in done.document["error"]
    assert wake.json("bindings")["bindings"] == [{"session_key": "node-lab", "agent_id": "research", "from": "configuration"}]


@pytest.mark.parametrize("agent", ["stranger", "lab-*", "", "a b"])
def test_an_unknown_agent_gets_no_binding(wake: WakeCli, agent: str) -> None:
    done = wake.run("bind", "node-x", agent)
    assert done.code == 2
    assert "not configured" in done.err


def test_unknown_agents_may_be_accepted(wake: WakeCli) -> None:
    wake.configure('[routing]\nunknown_agents = "accept"\n')
    assert wake.json("bind", "node-x", "stranger")["agent_id"] == "stranger"
    assert wake.run("bind", "node-x", "lab-*").code == 2
