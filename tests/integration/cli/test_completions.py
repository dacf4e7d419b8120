"""`wake submit` and `wake resolve`."""

from __future__ import annotations

import pytest

from tests.support.wake_cli import WakeCli


def test_submit_prints_the_receipt(wake: WakeCli) -> None:
    receipt = wake.json("submit", "--session-key", "agent:ops:main", "--id", "c1", "--exit-code", "3", "--output", "bad", "--agent", "ops")
    assert set(receipt) == {"completion_id", "entry_id", "accepted_at_ms", "duplicate"}
    assert (receipt["completion_id"], receipt["duplicate"]) == ("c1", False)
    wake.route()
    _, batch = wake.begin()
    assert batch.wakes[0].exit_code == 3
    assert batch.outputs == {"c1": "bad"}


def test_the_same_id_again_gets_the_first_receipt(wake: WakeCli) -> None:
    words = ("submit", "--session-key", "agent:ops:main", "--id", "c1")
    first = wake.json(*words)
    assert wake.json(*words) == first | {"duplicate": True}
    assert "accepted before: c1" in wake.run(*words).out


def test_without_an_id_the_run_and_step_make_one(wake: WakeCli) -> None:
    words = ("submit", "--session-key", "agent:ops:main", "--run-id", "r", "--step-id")
    one, same, other = (wake.json(*words, step)["completion_id"] for step in ("s1", "s1", "s2"))
    assert one == same != other


def test_the_same_id_with_other_content_is_a_usage_error(wake: WakeCli) -> None:
    wake.submit("c1")
    done = wake.run("submit", "--session-key", "agent:ops:side", "--id", "c1", "--json")
    assert done.code == 2
    assert "id-conflict" in done.document["error"]
    assert "id-conflict" in done.err


@pytest.mark.parametrize("key", ["agent:ops:" + "x" * 10_000, "agent:ops:a\x07b"])
def test_a_key_that_cannot_be_is_refused_before_anything_is_written(wake: WakeCli, key: str) -> None:
    done = wake.run("submit", "--session-key", key)
    assert (done.code, done.out) == (2, "")
    assert "session_key" in done.err
    assert wake.store.ledger.inbox_depth() == 0


def test_a_full_inbox_is_temporary(wake: WakeCli) -> None:
    wake.configure("[bounds]\nmax_inbox = 1\n")
    wake.submit("c1")
    assert wake.run("submit", "--session-key", "agent:ops:main").code == 75


def test_a_store_of_another_layout_is_refused(wake: WakeCli) -> None:
    wake.submit("c1")
    wake.configure("[redis]\nslots = 8\n")
    done = wake.run("submit", "--session-key", "agent:ops:main")
    assert done.code == 2
    assert "slots is 64 there and 8 here" in done.err
    assert wake.store.ledger.inbox_depth() == 1


def test_resolve_one_key_is_one_object(wake: WakeCli) -> None:
    assert wake.json("resolve", "Agent:OPS:Main") == {
        "status": "routed",
        "agent_id": "ops",
        "session_key": "agent:ops:main",
        "queue": f"wake.agents.{wake.store.keys.slot_of('ops') % 16:02d}",
        "via": "session-key",
    }


def test_resolve_several_keys_is_a_list_in_their_order(wake: WakeCli) -> None:
    done = wake.run("resolve", "node-lab", "global", "agent:ops:x", "--json")
    assert done.code == 1
    lab, nobody, ops = done.document
    assert (lab["agent_id"], lab["via"], lab["session_key"]) == ("research", "binding", "agent:research:node-lab")
    assert nobody == {"status": "dead-letter", "agent_id": None, "session_key": "global", "queue": None, "reason": "unbound-key"}
    assert ops["status"] == "routed"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "missing-key"),
        ("agent::x", "malformed-key"),
        ("agent:ops", "malformed-key"),
        ("node-x", "unbound-key"),
        ("agent:stranger:main", "unknown-agent"),
        ("agent:off:main", "agent-disabled"),
        ("x" * 10_000, "too-large"),
        ("a\x1b[31mb", "malformed-key"),
    ],
)
def test_a_key_without_an_owner_says_why(wake: WakeCli, key: str, reason: str) -> None:
    done = wake.run("resolve", key, "--json")
    assert (done.code, done.document["status"], done.document["reason"]) == (1, "dead-letter", reason)
    assert wake.run("resolve", key).code == 1


def test_a_key_of_another_agent_than_named_is_nobodys(wake: WakeCli) -> None:
    assert wake.run("resolve", "agent:ops:main", "--agent", "research", "--json").document["reason"] == "owner-mismatch"
    assert wake.json("resolve", "side", "--agent", "research")["session_key"] == "agent:research:side"


def test_resolve_follows_bindings_and_moves(wake: WakeCli) -> None:
    assert wake.run("bind", "node-x", "ops").code == 0
    assert wake.json("resolve", "node-x")["agent_id"] == "ops"
    assert wake.run("move", "ops", "quiet").code == 0
    assert wake.json("resolve", "agent:ops:main")["queue"].startswith("wake.quiet.")


def test_resolve_is_a_table_for_people(wake: WakeCli) -> None:
    done = wake.run("resolve", "agent:ops:main", "node-x")
    assert done.code == 1
    assert "session-key" in done.out
    assert "dead letter" in done.out
    assert "unbound-key" in done.out
    assert "wake bind" in done.err


def test_an_agent_key_needs_no_server(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_server = wake.json("resolve", "agent:ops:main")
    monkeypatch.delenv("WAKE_REDIS_URL")
    assert wake.json("resolve", "agent:ops:main") == with_server
    assert wake.run("resolve", "agent::x", "--json").document["reason"] == "malformed-key"
    done = wake.run("resolve", "node-lab", "--json")
    assert done.code == 75, "the bindings of the server would win over those of the file"
    assert set(done.document) == {"error"}
