"""`wake dead` on several letters at once, and what becomes of them by themselves: retention and the alert."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatcher.core.models import Wake
from tests.support.wake_cli import WakeCli
from workers.router_loop import RouterLoop

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def books(wake: WakeCli) -> Iterator[None]:
    yield
    assert wake.balanced()


@pytest.fixture
def letters(wake: WakeCli) -> None:
    """Two of ops, one of research, two of nobody."""
    wake.deposit("o1")
    wake.deposit("o2")
    wake.bury("ops")
    wake.deposit("r1", "agent:research:main")
    wake.bury("research")
    wake.deposit("x1", "node-x")
    wake.deposit("x2", "node-y")


def left(wake: WakeCli, *words: str) -> list[str]:
    return sorted(letter["completion_id"] for letter in wake.json("dead", "list", *words)["dead_letters"])


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["o1", "o2", "r1", "x1", "x2"]),
        (("--reason", "unbound-key"), ["x1", "x2"]),
        (("--agent", "OPS"), ["o1", "o2"]),
        (("--session-key", "node-x"), ["x1"]),
        (("--reason", "attempts-exhausted", "--agent", "research"), ["r1"]),
        (("--older-than", "1h"), []),
        (("--older-than", "0s"), ["o1", "o2", "r1", "x1", "x2"]),
    ],
)
def test_filters_say_which(wake: WakeCli, words: tuple[str, ...], expected: list[str]) -> None:
    assert left(wake, *words) == expected


@pytest.mark.usefixtures("letters")
def test_revive_by_reason_resolves_each_afresh(wake: WakeCli) -> None:
    """What has an owner now goes to it under its id; what has none stays, with the reason."""
    wake.run("bind", "node-x", "research")
    done = wake.run("dead", "revive", "--reason", "unbound-key", "--json")
    assert done.code == 1
    assert done.document["revived"] == [
        {"completion_id": "x1", "agent_id": "research", "session_key": "agent:research:node-x", "via": "binding"}
    ]
    ((failed),) = done.document["failed"]
    assert (failed["completion_id"], "unbound-key" in failed["error"]) == ("x2", True)
    assert left(wake) == ["o1", "o2", "r1", "x2"]
    wake.route()
    assert wake.fate("x1") == "pending"


@pytest.mark.usefixtures("letters")
def test_revive_by_agent_keeps_ids(wake: WakeCli) -> None:
    said = wake.run("dead", "revive", "--agent", "ops")
    assert (said.code, said.out.splitlines()[-1]) == (0, "2 revived, 0 left")
    assert sorted(w.wake_id for w in wake.heartbeat().wakes) == ["o1", "o2"]
    assert left(wake) == ["r1", "x1", "x2"]


@pytest.mark.usefixtures("letters")
def test_drop_by_agent_leaves_receipts(wake: WakeCli) -> None:
    assert wake.json("dead", "drop", "--agent", "ops", "--yes") == {"dropped": ["o1", "o2"], "failed": []}
    assert left(wake) == ["r1", "x1", "x2"]
    where = wake.store.ledger.where("o1")
    assert where
    assert (where.fate.value, where.detail) == ("dropped", "operator")
    assert [r["what"] for r in wake.store.ledger.records("ops")].count("dropped") == 2
    assert wake.json("dead", "drop", "--all", "--yes")["dropped"] == ["r1", "x1", "x2"]
    assert wake.json("audit")["dropped"] == 5


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    "words", [("revive",), ("drop", "--yes"), ("drop", "o1", "--agent", "ops"), ("revive", "o1", "--all"), ("list", "--older-than", "1w")]
)
def test_what_is_not_clear_is_refused(wake: WakeCli, words: tuple[str, ...]) -> None:
    assert wake.run("dead", *words).code == 2
    assert left(wake) == ["o1", "o2", "r1", "x1", "x2"]


@pytest.mark.usefixtures("letters")
def test_drop_of_several_refuses_where_nobody_can_be_asked(wake: WakeCli) -> None:
    done = wake.run("dead", "drop", "--agent", "ops")
    assert (done.code, "--yes" in done.err) == (2, True)
    assert left(wake, "--agent", "ops") == ["o1", "o2"]


def test_show_tells_where_a_letter_came_from(wake: WakeCli) -> None:
    wake.run("bind", "node-x", "ops")
    wake.deposit("c1", "node-x")
    lease, batch = wake.begin("ops", "node-x")
    wake.store.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "no")
    assert wake.run("dead", "revive", "c1").code == 0
    lease, batch = wake.begin("ops", "node-x")
    wake.store.mailbox.bury(lease, batch.batch_id, "attempts-exhausted", "again")
    shown = wake.json("dead", "show", "c1")
    assert (shown["via"], shown["revivals"], shown["attempts"], shown["errors"]) == ("binding", 1, 1, ["again"])
    accepted: Wake = batch.wakes[0]
    assert shown["accepted_at_ms"] == accepted.accepted_at_ms <= shown["dead_at_ms"]


def kept(wake: WakeCli, bounds: str) -> int:
    """One round of the router's keeping of letters under these bounds; how many it dropped."""
    wake.configure((wake.folder / "wake.toml").read_text().partition("[bounds]")[0] + f"[bounds]\n{bounds}\n")
    return RouterLoop(wake.store, wake.config, None).keep_letters()  # type: ignore[arg-type]  # no inbox is looked at


@pytest.mark.usefixtures("letters")
def test_retention_is_off_unless_it_is_set(wake: WakeCli) -> None:
    assert kept(wake, "") == 0
    assert kept(wake, f"dead_ms = {DAY_MS}") == 0
    assert len(left(wake)) == 5


@pytest.mark.usefixtures("letters")
def test_retention_that_was_switched_off_ends_with_the_reload(wake: WakeCli) -> None:
    """Who does that has just seen letters go."""
    before, text = wake.config, (wake.folder / "wake.toml").read_text()
    wake.configure(text + "[bounds]\ndead_ms = 1\n")
    loop = RouterLoop(wake.store, wake.config, None)  # type: ignore[arg-type]  # no inbox is looked at
    loop.use(wake.store, before, None)  # type: ignore[arg-type]  # no inbox is looked at
    wake.settle_time()
    assert loop.keep_letters() == 0
    assert len(left(wake)) == 5


@pytest.mark.usefixtures("letters")
def test_what_is_older_is_dropped_as_expired(wake: WakeCli) -> None:
    """With and without an owner; both say so."""
    wake.settle_time()
    assert kept(wake, "dead_ms = 1") == 5
    assert left(wake) == []
    for completion_id in ("o1", "x1"):
        where = wake.store.ledger.where(completion_id)
        assert where
        assert (where.fate.value, where.detail) == ("dropped", "expired")
    assert wake.store.ledger.records("ops")[-1]["detail"] == {"id": "o2", "reason": "expired"}


@pytest.mark.usefixtures("letters")
def test_an_alert_from_a_number_on(wake: WakeCli, caplog: pytest.LogCaptureFixture) -> None:
    for bound, alert in ((6, False), (5, True), (0, False)):
        caplog.clear()
        kept(wake, f"alert_dead = {bound}")
        assert ("5 dead letters" in caplog.text) == alert
        assert wake.run("status", "--json").document["dead_alert"] == alert
    kept(wake, "alert_dead = 1")
    assert "too many" in wake.run("status").out
