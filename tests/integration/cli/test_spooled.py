"""`wake spool`: what `wake exec` kept, and its delivery."""

from __future__ import annotations

import pytest

from dispatcher import spool
from tests.support.wake_cli import WakeCli


def keep(wake: WakeCli, completion_id: str, **words: object) -> None:
    spool.write(wake.folder / ".wake" / "spool", {"completion_id": completion_id, "session_key": "agent:ops:main"} | words)


def test_list_and_flush(wake: WakeCli) -> None:
    assert wake.json("spool", "list") == {"waiting": [], "bad": []}
    assert wake.json("spool", "flush") == {"sent": 0, "left": 0, "bad": 0, "trouble": None}
    keep(wake, "c1")
    keep(wake, "c2")
    waiting = wake.json("spool", "list")["waiting"]
    assert [(w["completion_id"], w["session_key"]) for w in waiting] == [("c1", "agent:ops:main"), ("c2", "agent:ops:main")]
    assert "c1" in wake.run("spool", "list").out
    assert wake.json("spool", "flush") == {"sent": 2, "left": 0, "bad": 0, "trouble": None}
    assert wake.json("spool", "list")["waiting"] == []
    assert (wake.fate("c1"), wake.fate("c2")) == ("accepted", "accepted")


def test_what_no_retry_can_help_is_set_aside(wake: WakeCli) -> None:
    keep(wake, "c1", exit_code="three")
    keep(wake, "c2")
    done = wake.run("spool", "flush", "--json")
    assert (done.code, done.document) == (1, {"sent": 1, "left": 0, "bad": 1, "trouble": None})
    (bad,) = wake.json("spool", "list")["bad"]
    assert "exit_code" in bad["reason"]
    assert "exit_code" in wake.run("spool", "list").out
    assert wake.run("spool", "flush").code == 0


def test_without_a_server_everything_stays(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(wake, "c1")
    monkeypatch.delenv("WAKE_REDIS_URL")
    assert len(wake.json("spool", "list")["waiting"]) == 1, "listing needs no server"
    done = wake.run("spool", "flush", "--json")
    assert (done.code, done.document["left"]) == (75, 1)
    assert "server" in done.document["trouble"]


def test_a_full_inbox_is_temporary(wake: WakeCli) -> None:
    wake.configure("[bounds]\nmax_inbox = 1\n")
    keep(wake, "c1")
    keep(wake, "c2")
    done = wake.run("spool", "flush", "--json")
    assert (done.code, done.document["sent"], done.document["left"]) == (75, 1, 1)


def test_a_store_of_another_layout_gets_nothing(wake: WakeCli) -> None:
    wake.submit("c0")
    wake.configure("[redis]\nslots = 8\n")
    keep(wake, "c1")
    done = wake.run("spool", "flush", "--json")
    assert done.code == 2
    assert "slots" in done.document["error"]
    assert len(wake.json("spool", "list")["waiting"]) == 1


def test_a_folder_that_cannot_be_read_is_a_fault_of_configuration(wake: WakeCli) -> None:
    (wake.folder / ".wake").mkdir()
    (wake.folder / ".wake" / "spool").write_text("a file")
    for command in ("list", "flush"):
        done = wake.run("spool", command, "--json")
        assert done.code == 2
        assert "spool" in done.document["error"]
