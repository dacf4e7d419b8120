"""How the steps are called: by their contract, through a flushed cache, on a full server; and what their keys look like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from dispatcher.core.errors import ScriptContractError, StoreUnavailable
from dispatcher.core.models import Address
from dispatcher.store.keys import Keys
from dispatcher.store.scripts import Call, Caller, scripts
from tests.support.store import AGENT, HOUR_MS, MAIN, POOL, SIDE, Rig, deposit, entry_ids, ids, letter, submission

ALL_KEYS = Keys("wake", 64)
HEIR = Address(agent_id="heir", session_key="agent:heir:main")


@pytest.fixture
def rig(redis_client: redis.Redis) -> Rig:
    return Rig(redis_client)


@pytest.fixture
def full(rig: Rig) -> Iterator[Rig]:
    """A server that evicts nothing and has no memory left; with work at every place."""
    rig.rejected("ownerless")
    rig.buried("dead")
    rig.parked("parked", delay_ms=60_000, session=SIDE)
    rig.wake("waiting")
    rig.client.config_set("maxmemory-policy", "noeviction")
    yield rig
    rig.client.config_set("maxmemory", 0)


def test_a_flushed_cache_heals(rig: Rig) -> None:
    rig.inbox.submit(submission("c1"))
    rig.client.script_flush()
    rig.inbox.submit(submission("c2"))
    assert entry_ids(rig.inbox.claim("r1", 10)) == ["c1", "c2"]


def test_a_flushed_cache_heals_while_calls_are_on_their_way(rig: Rig) -> None:
    rig.client.script_flush()
    page = rig.inbox.post([submission("c1"), submission("c2")])
    assert page._calls
    assert [reply.status for reply in page._calls.replies()] == ["SUBMITTED"]


def test_a_flushed_cache_heals_inside_a_pipeline(rig: Rig) -> None:
    """Each call is made once, in the old order, whichever of them was missing."""
    rig.inbox.submit_all([submission(f"c{i}") for i in range(3)])
    entries = rig.inbox.claim("r1", 10).entries
    rig.client.script_flush()
    rig.client.script_load(scripts()["suppress"].source)
    deposits = [(deposit(entry), "quiet" if entry.completion_id == "c1" else None) for entry in entries]
    assert [reply.status for reply in rig.mailbox.put_all(deposits)] == ["DEPOSITED", "SUPPRESSED", "DEPOSITED"]
    assert rig.waiting() == ["c0", "c2"]


def test_the_first_call_of_a_server(rig: Rig) -> None:
    """Nothing is loaded beforehand."""
    rig.client.script_flush()
    assert len(rig.inbox.submit_all([submission("c1"), submission("c2")])) == 2


def test_a_missing_name_is_a_bug(rig: Rig) -> None:
    """ScriptContractError names the step and the name, and the server is not asked."""
    with rig.unchanged():
        with pytest.raises(ScriptContractError, match=r"watch.*'channel'"):
            rig.step("watch")
        with pytest.raises(ScriptContractError, match=r"watch.*'leases'"):
            rig.caller.call("watch", rig.keys.inbox, channel="x")


def test_a_name_too_many_is_a_bug(rig: Rig) -> None:
    with rig.unchanged(), pytest.raises(ScriptContractError, match=r"watch.*'chanel'"):
        rig.step("watch", channel="x", chanel="y")


@pytest.mark.parametrize("raw", [["WATCHES"], [], None, "WATCHED", 1])
def test_an_answer_that_is_not_declared_is_a_bug(raw: object) -> None:
    with pytest.raises(ScriptContractError, match="watch"):
        scripts()["watch"].reply(raw)


def test_an_error_of_one_call_is_raised_after_all_were_made(rig: Rig) -> None:
    """What was accepted beside it stands."""
    rig.client.set(rig.key("leases", "broken"), "not a hash")
    watch = Call("watch", rig.keys.agent("broken", AGENT), {"channel": "x"})
    limits: dict[str, Any] = {"dedupe_ms": 1, "max_ids": 9, "max_inbox": 9, "announce_ms": 1}
    submit = Call("submit", rig.keys.inbox, limits | {"now": 0, "page": '[["c1", "d", "{}", 0]]'})
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        Caller(rig.client).call_all([watch, submit])
    assert rig.ledger.inbox_depth() == 1


def test_a_full_server_refuses_new_work_only(full: Rig) -> None:
    """`noeviction`: a submit is refused and says so; what was accepted is routed, run, settled and revived all the same."""
    rig = full
    entries = [rig.submitted(name) for name in ("c1", "c2", "c3")]
    rig.client.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="submit completion=c4"):
        rig.inbox.submit(submission("c4"))
    with pytest.raises(StoreUnavailable, match="submit completion=2"):
        rig.inbox.submit_all([submission("c4"), submission("c5")])
    assert rig.inbox.claim("r2", 10, idle_ms=0).entries
    assert rig.put(entries[0]).status == "DEPOSITED"
    assert rig.mailbox.put_all([(deposit(entries[1]), "quiet")])[0].status == "SUPPRESSED"
    rig.inbox.acknowledge([(entries[0], AGENT, "session-key"), (entries[1], AGENT, "session-key")])
    assert rig.inbox.reject(entries[2], "unbound-key", letter(rig.now_ms)) == "REJECTED"
    assert rig.inbox.revive("ownerless")
    assert rig.inbox.drop("c3")
    assert rig.mailbox.revive(AGENT, POOL, "dead").ring
    rig.inbox.reroute("c1", AGENT, "binding", 1)


def test_on_a_full_server_an_agent_goes_on_running(full: Rig) -> None:
    rig = full
    parked = rig.leased("h0", "n0").snapshot.parked[0].batch_id
    rig.client.config_set("maxmemory", 1)
    leased = rig.leased("h0", "n0")
    assert rig.defer(leased, ("event", 100)).status == "DEFERRED"
    assert rig.sweep()[1] == []
    rig.now_ms += 100
    lease = rig.leased().lease
    batch = rig.begun(lease)
    assert ids(batch) == ["waiting"]
    assert rig.mailbox.renew_all([(lease, batch.batch_id)]) == ["RENEWED"]
    assert rig.mailbox.dissolve(lease, batch.batch_id, 0, 0, 0, "busy").status == "DISSOLVED"
    lease = rig.leased().lease
    assert rig.settle(lease, rig.begun(lease)).status == "SETTLED"
    rig.now_ms += HOUR_MS
    lease = rig.leased().lease
    rig.resumed(lease, parked)
    assert rig.mailbox.park(lease, parked, "failed", 0, "boom").status == "PARKED"
    lease = rig.leased().lease
    assert rig.mailbox.bury(lease, parked, "worker-lost", "").status == "BURIED"
    assert rig.mailbox.drop(AGENT, POOL, "parked", "operator").status == "DROPPED"
    assert not rig.handoffs.note(AGENT, POOL, "parked", 1, HEIR, "binding")
    assert not rig.handoffs.take(AGENT, POOL, "parked", 1)
    assert not rig.handoffs.let_go(AGENT, POOL, "parked", "from:x:1")
    assert rig.step("trim", agent=AGENT, safe_ms=0, older_ms=0, keep=0, limit=1).status == "TRIMMED"
    assert rig.step("watch", channel="x").status == "WATCHED"
    args: dict[str, Any] = {"agent": AGENT, "token": 1, "renewal": 0, "channel": "x", "min_uptime_s": 0, "ledger_max": 1}
    assert rig.step("reclaim", now=rig.now_ms, **args).status == "CHANGED"
    assert rig.mailbox.move(AGENT, POOL, "solo", "solo") == "MOVED"


def test_no_name_of_a_key_tells_a_completion_or_a_session(rig: Rig) -> None:
    """Names of keys are seen by monitors and ACLs; and ids are words of strangers."""
    names = ["id-{s99}:x", "id-" + "y" * 100]
    for name in names:
        rig.wake(name, session="agent:ops:secret-room {s98}")
    rig.rejected("id-ownerless", session="secret-node")
    rig.parked("id-parked", delay_ms=60_000, session="agent:ops:secret-other")
    rig.buried("id-dead")
    rig.running("id-running", session=MAIN)
    keys = list(rig.client.scan_iter(count=1000))
    assert len(keys) > 20
    told = [key for key in keys if "id-" in key or "secret" in key or "main" in key]
    assert not told


@pytest.mark.parametrize("name", sorted(scripts()))
def test_all_keys_of_a_step_share_one_hash_tag(name: str) -> None:
    """On a cluster they lie on one node, and an agent's due entry can never disagree with its mailbox."""
    agent = ALL_KEYS.agent(POOL, AGENT)
    moved = {f"{side}_{n}": key for side, pool in (("from", POOL), ("to", "solo")) for n, key in ALL_KEYS.agent(pool, AGENT).items()}
    sources = [ALL_KEYS.inbox, ALL_KEYS.caps(POOL), {**agent, **moved}]
    wanted = set(scripts()[name].keys)
    (source,) = [s for s in sources if wanted <= s.keys()]
    tags = {tuple(re.findall(r"\{([^}]*)\}", source[key])) for key in wanted}
    assert len(tags) == 1
    assert tags <= {("inbox",), ("caps",), (f"s{ALL_KEYS.slot_of(AGENT):02}",)}


def test_agents_of_one_slot_share_nothing_but_the_slot() -> None:
    twin = next(n for n in (f"a{i}" for i in range(1000)) if ALL_KEYS.slot_of(n) == ALL_KEYS.slot_of(AGENT))
    mine, its = (set(ALL_KEYS.agent(POOL, name).values()) for name in (AGENT, twin))
    shared = set(ALL_KEYS.pool(ALL_KEYS.slot_of(AGENT), POOL).values())
    assert mine & its == shared
    assert all(key.startswith(f"wake:{{s{ALL_KEYS.slot_of(AGENT):02}}}:{POOL}:{AGENT}:") for key in mine - shared)


@pytest.mark.parametrize("name", sorted(name for name, step in scripts().items() if set(step.keys) <= set(ALL_KEYS.agent(POOL, AGENT))))
@pytest.mark.parametrize("agent_id", ["ops", "dev", "a", "0", "x" * 64, "a-b_c-0123"])
def test_an_agents_keys_are_packed_as_if_they_were_written_out(name: str, agent_id: str) -> None:
    """They share a head with all ids of the same length; `ops` and `dev` one after the other would show whose it is."""
    keys, args = ALL_KEYS.agent(POOL, agent_id), dict.fromkeys(scripts()[name].args, "x")
    assert len(keys) == len(dict(keys))
    assert scripts()[name].packed(keys, args) == scripts()[name].packed(dict(keys), args)
