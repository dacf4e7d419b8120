"""`wake dead`: every way back, and the way out. After each, the books balance."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator

import pytest

from dispatcher.core.models import Address
from tests.support.exec_process import WAKE, environment
from tests.support.wake_cli import WakeCli


@pytest.fixture(autouse=True)
def books(wake: WakeCli) -> Iterator[None]:
    yield
    assert wake.balanced()


def listed(wake: WakeCli) -> dict[str, dict[str, object]]:
    letters = wake.json("dead", "list")["dead_letters"]
    assert all(set(x) == {"completion_id", "reason", "session_key", "agent_id", "attempts", "age_s", "handoff_to"} for x in letters)
    return {x["completion_id"]: x for x in letters}


def test_letters_with_and_without_an_owner_are_listed(wake: WakeCli) -> None:
    assert listed(wake) == {}
    wake.deposit("c1", "node-x")
    wake.deposit("c2")
    wake.bury()
    letters = listed(wake)
    assert list(letters) == ["c1", "c2"]
    ownerless = letters["c1"]
    assert isinstance(ownerless["age_s"], float)
    assert ownerless | {"age_s": 0} == {
        "completion_id": "c1", "reason": "unbound-key", "session_key": "node-x", "agent_id": None, "attempts": 0, "age_s": 0,
        "handoff_to": None,
    }  # fmt: skip
    owned = letters["c2"]
    assert (owned["reason"], owned["session_key"], owned["agent_id"], owned["attempts"]) == (
        "attempts-exhausted", "agent:ops:main", "ops", 1,
    )  # fmt: skip
    assert "attempts-exhausted" in wake.run("dead", "list").out


def test_show_tells_what_the_list_does_not(wake: WakeCli) -> None:
    wake.deposit("c2", "agent:ops:main", "--exit-code", "1", "--output", "3 tests failed")
    batch = wake.bury()
    shown = wake.json("dead", "show", "c2")
    assert (shown["batch_id"], shown["errors"], shown["output"]) == (batch.batch_id, ["it did not work"], "3 tests failed")
    assert shown["text"] == "Exec completed (c2, code 1) :: 3 tests failed"
    people = wake.run("dead", "show", "c2")
    assert people.code == 0
    assert "it did not work" in people.out

    wake.deposit("c1", "node-x")
    shown = wake.json("dead", "show", "c1")
    assert (shown["reason"], shown["batch_id"], json.loads(shown["text"])["session_key"]) == ("unbound-key", None, "node-x")
    assert "no binding" in shown["errors"][0]


@pytest.mark.parametrize("words", [("show",), ("revive",), ("drop", "--yes")])
def test_no_such_letter(wake: WakeCli, words: tuple[str, ...]) -> None:
    wake.deposit("c1")
    for completion_id in ("c1", "nobody"):
        done = wake.run("dead", *words, completion_id, "--json")
        assert done.code == 1
        assert set(done.document) == {"error"}


def test_a_bound_key_wakes_its_agent_after_revival_once(wake: WakeCli) -> None:
    wake.deposit("c1", "node-x")
    refused = wake.run("dead", "revive", "c1", "--json")
    assert refused.code == 1
    assert "unbound-key" in refused.document["error"]
    assert list(listed(wake)) == ["c1"]
    wake.run("bind", "node-x", "ops")
    assert wake.json("dead", "revive", "c1") == {
        "completion_id": "c1", "agent_id": "ops", "session_key": "agent:ops:node-x", "via": "binding",
    }  # fmt: skip
    assert listed(wake) == {}
    wake.route()
    assert wake.fate("c1") == "pending"
    _, batch = wake.begin("ops", "node-x")
    assert [w.wake_id for w in batch.wakes] == ["c1"]
    assert wake.run("dead", "revive", "c1").code == 1


def test_what_nobody_can_use_cannot_be_revived(wake: WakeCli) -> None:
    from dispatcher.store.inbox import Submission

    wake.store.inbox.submit(Submission("c1", "d", '{"session_key": "agent:ops:main", "exit_code": "three"}'))
    wake.route()
    assert listed(wake)["c1"]["reason"] == "invalid-completion"
    done = wake.run("dead", "revive", "c1")
    assert done.code == 1
    assert "exit_code" in done.err
    assert wake.json("dead", "drop", "c1", "--yes") == {"completion_id": "c1", "dropped": True}
    assert wake.fate("c1") == "dropped"


def test_an_owned_letter_waits_again_in_its_mailbox(wake: WakeCli) -> None:
    wake.deposit("c2")
    wake.bury()
    assert wake.json("dead", "revive", "c2")["via"] == "session-key"
    assert wake.fate("c2") == "pending"
    assert [w.wake_id for w in wake.heartbeat().wakes] == ["c2"]
    assert wake.fate("c2") == "settled"


def test_a_revival_follows_a_move(wake: WakeCli) -> None:
    wake.deposit("c2")
    wake.bury()
    assert wake.run("move", "ops", "quiet").code == 0
    assert wake.run("dead", "revive", "c2").code == 0
    assert [w.wake_id for w in wake.heartbeat().wakes] == ["c2"]


def test_a_disabled_owner_gets_nothing_back(wake: WakeCli) -> None:
    wake.deposit("c2")
    wake.bury()
    wake.configure("[agents.ops]\nenabled = false\n")
    done = wake.run("dead", "revive", "c2")
    assert done.code == 1
    assert "agent-disabled" in done.err
    assert list(listed(wake)) == ["c2"]


def test_a_letter_whose_key_has_another_owner_now_goes_there(wake: WakeCli) -> None:
    wake.run("bind", "node-x", "ops")
    wake.deposit("c3", "node-x", "--exit-code", "1", "--output", "bad")
    lease, batch = wake.begin("ops", "node-x")
    wake.store.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "no")
    wake.run("bind", "node-x", "research")
    assert wake.json("dead", "revive", "c3") == {
        "completion_id": "c3", "agent_id": "research", "session_key": "agent:research:node-x", "via": "binding",
    }  # fmt: skip
    where = wake.store.ledger.where("c3")
    assert where is not None
    assert (where.agent_id, where.fate.value) == ("research", "pending")
    assert listed(wake) == {}
    _, batch = wake.begin("research", "node-x")
    assert [w.wake_id for w in batch.wakes] == ["c3"]
    assert batch.outputs == {"c3": "bad"}
    ops = wake.store.ledger.agent("ops")
    assert ops is not None
    assert ops.pending == 0


def test_a_revival_that_was_interrupted_goes_to_whom_it_was_for(wake: WakeCli) -> None:
    """It is told by list, show, doctor and audit, it cannot be dropped, and to repeat it completes it, whoever owns the key by now."""
    wake.run("bind", "node-x", "ops")
    wake.deposit("c3", "node-x")
    lease, batch = wake.begin("ops", "node-x")
    wake.store.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "no")
    research = Address(agent_id="research", session_key="agent:research:node-x")
    wake.store.handoffs.now_ms = wake.store.ledger.now_ms() - 60_000
    assert wake.store.handoffs.note("ops", "agents", "c3", 1, research, "binding")
    assert listed(wake)["c3"]["handoff_to"] == "research"
    assert wake.json("dead", "show", "c3")["handoff_to"] == "research"
    assert "its revival for research was interrupted" in wake.run("dead", "show", "c3").out
    refused = wake.run("dead", "drop", "c3", "--yes")
    assert refused.code == 1
    assert "research" in refused.err
    examined = wake.run("doctor")
    assert examined.code == 1
    assert "`wake dead revive c3` completes it" in examined.out
    assert wake.run("audit").code == 0
    assert wake.json("dead", "revive", "c3")["agent_id"] == "research"
    assert listed(wake) == {}
    _, batch = wake.begin("research", "node-x")
    assert [w.wake_id for w in batch.wakes] == ["c3"]
    assert wake.run("doctor").code == 0


def test_a_full_mailbox_of_the_new_owner_makes_it_that_ones_letter(wake: WakeCli) -> None:
    wake.run("bind", "node-x", "ops")
    wake.deposit("c3", "node-x")
    lease, batch = wake.begin("ops", "node-x")
    wake.store.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "no")
    wake.deposit("c4", "agent:research:main")
    wake.configure((wake.folder / "wake.toml").read_text() + "[bounds]\nmax_mailbox = 1\n")
    wake.run("bind", "node-x", "research")
    done = wake.run("dead", "revive", "c3")
    assert done.code == 1
    assert "full" in done.err
    assert (listed(wake)["c3"]["agent_id"], listed(wake)["c3"]["reason"]) == ("research", "mailbox-full")


def test_a_letter_outlives_its_receipt(wake: WakeCli) -> None:
    """The time for which ids are known as duplicates may be over long before anybody looks at the dead letters."""
    wake.deposit("c2")
    wake.bury()
    wake.client.hdel(wake.store.keys.inbox["seen"], "c2")
    assert wake.json("dead", "show", "c2")["agent_id"] == "ops"
    assert wake.run("dead", "revive", "c2").code == 0


def test_drop_is_for_good(wake: WakeCli) -> None:
    wake.deposit("c2")
    wake.bury()
    assert wake.run("dead", "drop", "c2", "--yes").code == 0
    assert wake.fate("c2") == "dropped"
    assert listed(wake) == {}
    assert wake.json("audit")["dropped"] == 1


def test_drop_refuses_where_nobody_can_be_asked(wake: WakeCli) -> None:
    wake.deposit("c1", "node-x")
    done = wake.run("dead", "drop", "c1")
    assert done.code == 2
    assert "--yes" in done.err
    assert wake.run("dead", "drop", "c1", "--json").document.keys() == {"error"}
    assert list(listed(wake)) == ["c1"]


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, ["c1"]), ("y", 0, [])])
def test_drop_asks_on_a_terminal(wake: WakeCli, answer: str, code: int, left: list[str]) -> None:
    wake.deposit("c1", "node-x")
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [*WAKE, "dead", "drop", "c1"],
            cwd=wake.folder,
            env=environment(wake.url),
            stdin=theirs,
            capture_output=True,
            timeout=200,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code
    assert b"for good?" in done.stderr
    assert list(listed(wake)) == left
