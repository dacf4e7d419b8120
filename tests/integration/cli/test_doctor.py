"""`wake doctor` and `wake audit --deep`: each thing is broken by hand, found, mended and told; afterwards the agent works."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.store_state import assert_sound, snapshot
from tests.support.wake_cli import WakeCli

MAIN = "agent:ops:main"


def key(wake: WakeCli, name: str, agent_id: str = "ops", pool: str = "agents") -> str:
    return wake.store.keys.agent(pool, agent_id)[name]


def parked(wake: WakeCli) -> str:
    """A batch that failed, and waits."""
    wake.deposit("c1")
    lease, batch = wake.begin()
    assert wake.store.mailbox.park(lease, batch.batch_id, "failed", 0, "boom").status == "PARKED"
    return batch.batch_id


def waiting(wake: WakeCli) -> None:
    wake.deposit("c1")


def settled(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.heartbeat()


def buried(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.bury()


def running(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.begin()


def failed(wake: WakeCli) -> None:
    parked(wake)


Break = Callable[[WakeCli], object]
BROKEN: dict[str, tuple[Break, Break, str]] = {
    "due entry missing": (waiting, lambda w: w.client.zrem(key(w, "due"), "ops"), "due-entry"),
    "due entry late": (waiting, lambda w: w.client.zadd(key(w, "due"), {"ops": 9e12}), "due-entry"),
    "due entry of nothing": (settled, lambda w: w.client.zadd(key(w, "due"), {"ops": 1}), "due-entry"),
    "look entry missing": (waiting, lambda w: w.client.zrem(key(w, "look"), "ops"), "look-entry"),
    "look entry late": (waiting, lambda w: w.client.zadd(key(w, "look"), {"ops": 9e12}), "look-entry"),
    "lane missing": (waiting, lambda w: w.client.delete(key(w, "lane_event")), "lane event agent:ops:main"),
    "lane of nothing": (waiting, lambda w: w.client.zadd(key(w, "lane_task"), {"agent:ops:main": 1}), "lane-of-nothing task"),
    "stale lease entry": (settled, lambda w: w.client.hset(key(w, "leases"), "ops", "7|0|9999999999999|gone|b"), "lease-entry"),
    "lease entry missing": (running, lambda w: w.client.hdel(key(w, "leases"), "ops"), "lease-entry"),
    "lease of nothing": (settled, lambda w: w.client.hset(key(w, "lease"), mapping={"holder": "gone", "batch": "b"}), "lease-of-nothing b"),
    "batch adrift": (failed, lambda w: w.client.delete(key(w, "parked")), "batch-adrift"),
    "parked nothing": (waiting, lambda w: w.client.zadd(key(w, "parked"), {"b": 1}), "parked-nothing b"),
    "batch of nothing": (waiting, lambda w: w.client.hset(key(w, "batches"), "b", "{}"), "batch-of-nothing b"),
    "block of a batch that is gone": (waiting, lambda w: w.client.hset(key(w, "blocks"), MAIN, "b|0|0|parked"), f"block-of-nothing {MAIN}"),
    "block of a parked batch missing": (failed, lambda w: w.client.delete(key(w, "blocks")), f"unblocked {MAIN}"),
    "wake of nothing": (waiting, lambda w: w.client.hset(key(w, "wakes"), "9", "{}"), "wake-of-nothing 9"),
    "bell": (waiting, lambda w: w.client.hset(key(w, "bell"), "ops", "ding"), "bell"),
    "dead letters unlisted": (buried, lambda w: w.client.srem(key(w, "deads"), "ops"), "deads"),
    "dead letters of nobody": (settled, lambda w: w.client.sadd(key(w, "deads"), "ops"), "deads"),
    "fates that nobody trims": (settled, lambda w: w.client.zrem(key(w, "trims"), "ops"), "trims"),
    "home": (waiting, lambda w: w.client.hdel(key(w, "homes"), "ops"), "home"),
    "pool": (waiting, lambda w: w.client.delete(key(w, "pools")), "pool"),
    "orphaned keys": (waiting, lambda w: w.client.hset(key(w, "state", pool="quiet"), "seq", 1), "orphaned: it lives in agents"),
    "routers' group": (waiting, lambda w: w.client.xgroup_destroy(w.store.keys.inbox["stream"], "routers"), "the routers' group"),
    "pins": (waiting, lambda w: w.client.hset(w.store.keys.inbox["pins"], "1-1", "ops|agent:ops:x"), "1 pins of entries that are gone"),
    "settled": (settled, lambda w: w.client.hdel(key(w, "counters"), "settled"), "settled of pool agents is 1 less than what is kept"),
    "accepted": (settled, lambda w: w.client.hdel(w.store.keys.inbox["counters"], "accepted"), "accepted is 2 less than all that has"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_was_broken_by_hand_is_found_mended_and_told(wake: WakeCli, name: str) -> None:
    """Found by both commands, which change nothing; mended by `--fix`; then there is nothing to find, and every completion ends."""
    before, broken, what = BROKEN[name]
    before(wake)
    wake.deposit("r1", "agent:research:main")
    assert wake.json("doctor") == {"findings": []}
    assert wake.json("audit", "--deep")["findings"] == []
    broken(wake)
    said = wake.run("doctor", "--json")
    assert said.code == 1
    found = said.document["findings"]
    assert [f for f in found if f["what"].startswith(what) and not f["mended"]], found
    assert not [f for f in found if "research" in f["where"]]
    deep = wake.run("audit", "--deep", "--json")
    assert (deep.code, deep.document["findings"]) == (1, found)
    fixed = wake.run("doctor", "--fix", "--json")
    assert (fixed.code, all(f["mended"] for f in fixed.document["findings"])) == (0, True)
    mended = {f["what"] for f in fixed.document["findings"]}
    assert mended <= {f["what"] for f in found}  # what followed from the damage alone was gone with it
    assert [one for one in mended if one.startswith(what)]
    assert wake.json("doctor") == {"findings": []}
    assert_sound(wake.client, wake.store.keys)
    assert wake.balanced()


def test_a_repair_leaves_a_receipt(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.client.zrem(key(wake, "due"), "ops")
    assert "due-entry" in wake.run("doctor", "--fix").out
    record = wake.store.ledger.records("ops")[-1]
    assert (record["what"], record["detail"]) == ("mended", {"what": ["due-entry"]})
    assert [w.wake_id for w in wake.heartbeat().wakes] == ["c1"]


def test_a_batch_adrift_runs_again_as_itself(wake: WakeCli) -> None:
    batch_id = parked(wake)
    wake.client.delete(key(wake, "parked"))
    assert wake.run("doctor", "--fix").code == 0
    leased = wake.store.mailbox.acquire("ops", "agents", "h1", "n9")
    assert [one.batch_id for one in leased.snapshot.parked] == [batch_id]  # type: ignore[union-attr]  # it is due, so it was leased


def test_a_session_whose_parked_batch_is_gone_runs_again(wake: WakeCli) -> None:
    """With the batch its block goes; and until then a person's wake is accepted, and makes nothing up."""
    parked(wake)
    for name in ("frozen", "wakes", "batches", "parked"):
        wake.client.delete(key(wake, name))
    wake.submit("c2", "agent:ops:main")
    assert wake.run("wake", "ops").code == 0
    wake.route()
    assert not wake.client.exists(key(wake, "parked"))
    assert f"block-of-nothing {MAIN}" in wake.run("doctor", "--fix").out
    assert len(wake.heartbeat().wakes) == 2


@pytest.mark.parametrize("name", ["wakes", "batches"])
def test_what_nobody_can_know_is_said_and_not_made_up(wake: WakeCli, name: str) -> None:
    (waiting if name == "wakes" else running)(wake)
    wake.client.delete(key(wake, name), key(wake, "ledger"))  # the receipts knew what a batch was for
    for words in (("doctor",), ("doctor", "--fix")):
        said = wake.run(*words, "--json")
        assert said.code == 1
        assert [f for f in said.document["findings"] if f["what"].startswith("lost:") and not f["mended"]]


def test_completions_without_a_fate_are_said_and_not_booked_away(wake: WakeCli) -> None:
    settled(wake)
    wake.client.hincrby(wake.store.keys.inbox["counters"], "accepted", 2)
    said = wake.run("doctor", "--fix", "--json")
    assert said.code == 1
    assert said.document["findings"] == [{"where": "counters", "what": "lost: 2 accepted completions have no fate", "mended": False}]
    assert wake.run("audit").code == 1


def test_work_in_a_pool_where_the_agent_does_not_live_is_left_alone(wake: WakeCli) -> None:
    wake.deposit("c1")
    other = key(wake, "mailbox", pool="quiet")
    wake.client.zadd(other, {"event\x1fagent:ops:main\x1f1\x1f1\x1fc9": 0})
    said = wake.run("doctor", "--fix", "--json")
    assert said.code == 1
    assert said.document["findings"][0]["what"] == "lost: work left behind, it lives in agents"
    assert wake.client.exists(other)


def test_what_came_home_meanwhile_is_kept(wake: WakeCli) -> None:
    """HOME, ORPHANED, DISOWNED, WORK: the home is compared in the step that deletes, so that a move in between loses nothing."""
    settled(wake)

    def disown(pool: str, fix: int = 1) -> list[object]:
        reply = wake.store.caller.call("disown", wake.store.keys.agent(pool, "ops"), agent="ops", pool=pool, fix=fix)
        return [reply.status, *reply.rest]

    wake.client.hset(key(wake, "state", pool="quiet"), "seq", 1)
    assert disown("quiet", fix=0) == ["ORPHANED", "agents"]
    assert disown("quiet") == ["DISOWNED", "agents"]
    assert disown("quiet", fix=0) == ["ORPHANED", "agents"]
    assert wake.run("move", "ops", "quiet").code == 0
    before = snapshot(wake.client)
    assert disown("quiet") == ["HOME"]  # it was foreign when the doctor looked
    assert snapshot(wake.client) == before
    wake.client.zadd(key(wake, "mailbox"), {"event\x1fagent:ops:main\x1f1\x1f1\x1fc9": 0})
    assert disown("agents") == ["WORK", "quiet"]


def test_a_key_of_another_type_is_said(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.client.delete(key(wake, "blocks"))
    wake.client.set(key(wake, "blocks"), "slipped")
    wake.client.delete(key(wake, "frozen"))
    wake.client.set(key(wake, "frozen"), "slipped")
    said = wake.run("doctor", "--json")
    assert said.code == 1
    assert "WRONGTYPE" in said.document["findings"][0]["what"]


def test_what_is_well_is_left_as_it_is(wake: WakeCli) -> None:
    """In every state that an agent can be in; also with an agent that moved."""
    for before in (waiting, settled, buried, running, failed):
        wake.client.flushall()
        before(wake)
        assert wake.run("doctor").out == "nothing is wrong\n", before.__name__
    wake.client.flushall()
    settled(wake)
    wake.run("move", "ops", "quiet")
    assert wake.run("doctor").code == 0
    assert wake.run("audit", "--deep").code == 0


def test_one_step_says_what_it_found(wake: WakeCli) -> None:
    """SOUND, FOUND, MENDED, FOREIGN: the words of the step itself."""
    wake.deposit("c1")
    store = wake.store

    def mend(pool: str, fix: int) -> list[object]:
        reply = store.caller.call("mend", store.keys.agent(pool, "ops"), now=0, agent="ops", pool=pool, fix=fix, ledger_max=100)
        return [reply.status, *reply.rest]

    assert mend("agents", 1) == ["SOUND"]
    assert mend("quiet", 1) == ["FOREIGN", "agents"]
    wake.client.zrem(key(wake, "look"), "ops")
    assert mend("agents", 0) == ["FOUND", "look-entry"]
    assert mend("agents", 1) == ["MENDED", "look-entry"]
