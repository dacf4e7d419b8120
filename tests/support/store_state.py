"""The whole state of a store: as a value that can be compared, and what must hold of it after every step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dispatcher.store.keys import LANES, Keys

# Clients are `Any`: redis-py types each reply as bytes, text or awaitable, whatever the client was made for.
SEP = "\x1f"
MAX_LOOK_MS = 3_600_000


def snapshot(client: Any, *ignoring: str) -> dict[str, Any]:
    """Every key and its content but `clock`, which moves with time, and those whose last part is one of `ignoring`."""
    left_out = {"clock", *ignoring}
    return {key: _content(client, key) for key in sorted(client.scan_iter(count=1000)) if key.rpartition(":")[2] not in left_out}


def _content(client: Any, key: str) -> Any:
    match client.type(key):
        case "hash":
            return client.hgetall(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case "set":
            return client.smembers(key)
        case "list":
            return client.lrange(key, 0, -1)
        case "stream":
            groups = client.xinfo_groups(key)
            pending = [client.xpending_range(key, group["name"], "-", "+", 1000) for group in groups]
            claims = [(p["message_id"], p["consumer"], p["times_delivered"]) for one in pending for p in one]
            return client.xrange(key), claims, [group["last-delivered-id"] for group in groups]
        case _:
            return client.get(key)


def assert_sound(client: Any, keys: Keys) -> None:
    """What holds of every agent at every moment; above all: who has work is in the due index, at most an hour ahead."""
    for slot_key in client.scan_iter(f"{keys.prefix}:{{s*}}:pools", count=1000):
        slot = int(slot_key.split("{s")[1][:2])
        homes = client.hgetall(keys.slot(slot)["homes"])
        for pool in client.smembers(slot_key):
            shared = _Shared(client, keys.pool(slot, pool))
            for agent_id in homes.keys() | shared.ticks.keys():
                home = homes.get(agent_id, pool).split()[0]
                _assert_agent(client, agent_id, keys.agent(pool, agent_id), shared, lives_here=home == pool)


class _Shared:
    """The keys that the agents of one slot and pool share."""

    def __init__(self, client: Any, key: Mapping[str, str]) -> None:
        self.now_ms = int(client.hget(key["clock"], "last") or 0)
        self.due = dict(client.zrange(key["due"], 0, -1, withscores=True))
        self.look = dict(client.zrange(key["look"], 0, -1, withscores=True))
        self.ticks = client.hgetall(key["ticks"])
        self.leases, self.bell = client.hgetall(key["leases"]), client.hgetall(key["bell"])
        self.deads, self.trims = client.smembers(key["deads"]), dict(client.zrange(key["trims"], 0, -1, withscores=True))


def _assert_agent(client: Any, agent_id: str, key: Mapping[str, str], shared: _Shared, *, lives_here: bool) -> None:
    waiting = [member.split(SEP) for member in client.zrange(key["mailbox"], 0, -1)]
    frozen = [member.split(SEP) for member in client.zrange(key["frozen"], 0, -1)]
    lease = client.hgetall(key["lease"])
    held = bool(lease.get("holder"))
    busy = bool(waiting or frozen)
    ticks = agent_id in shared.ticks
    assert lives_here or not (busy or held or ticks), f"{agent_id} has work in a pool where it does not live"
    assert (agent_id in shared.due) == (busy or held), f"{agent_id}: work {busy}, lease {held}, due index {shared.due}"
    assert (agent_id in shared.look) == (busy or held or ticks), (
        f"{agent_id}: work {busy}, lease {held}, tick {ticks}, look index {shared.look}"
    )
    assert shared.due.get(agent_id, 0) <= shared.now_ms + MAX_LOOK_MS, f"{agent_id} is looked at more than 1 h ahead"
    assert agent_id in shared.look or agent_id not in shared.bell, f"{agent_id} is announced, and nobody is to look at it"
    assert (agent_id in shared.leases) == held, f"{agent_id}: lease {lease}, the pool's view {shared.leases}"
    assert (agent_id in shared.deads) == (client.hlen(key["dead"]) > 0), f"{agent_id}: dead letters against {shared.deads}"
    assert set(client.hkeys(key["handoffs"])) <= set(client.hkeys(key["dead"])), f"{agent_id}: a handoff without its letter"
    assert (agent_id in shared.trims) >= (client.zcard(key["finals"]) > 0), f"{agent_id}: final fates that nobody trims"
    _assert_wakes(client, key, waiting, frozen)
    _assert_batches(client, key, frozen, lease.get("batch", ""))


def _assert_wakes(client: Any, key: Mapping[str, str], waiting: list[list[str]], frozen: list[list[str]]) -> None:
    """Each wake has its record, its place in a lane or a batch, and a fate that says so."""
    records = set(client.hkeys(key["wakes"]))
    places = [member[2] for member in waiting] + [member[1] for member in frozen]
    assert sorted(records) == sorted(places), "a wake without a record, or a record without a wake"
    assert set(client.hkeys(key["outputs"])) <= records
    lanes = {(lane.removeprefix("lane_"), session) for lane in LANES for session in client.zrange(key[lane], 0, -1)}
    assert lanes == {(member[0], member[1]) for member in waiting}
    fates = client.hgetall(key["fates"])
    for completion_id in client.zrange(key["finals"], 0, -1):
        assert fates[completion_id].split("|")[0] in {"settled", "suppressed", "dropped", "routed"}, fates[completion_id]
    for member in waiting:
        assert fates[member[4]].startswith("pending|"), fates[member[4]]
    for member in frozen:
        assert fates[member[4]].startswith("running|"), fates[member[4]]


def _assert_batches(client: Any, key: Mapping[str, str], frozen: list[list[str]], running: str) -> None:
    """Each frozen batch is the running one or parked; a parked one blocks its target, and nothing else does for ever."""
    batches = {batch: json.loads(raw) for batch, raw in client.hgetall(key["batches"]).items()}
    parked = set(client.zrange(key["parked"], 0, -1))
    assert set(batches) == {member[0] for member in frozen} == parked | ({running} if running else set())
    assert running not in parked
    for batch, meta in batches.items():
        assert meta["n"] == sum(member[0] == batch for member in frozen)
        assert meta["running"] == (batch == running)
    blocks = {session: raw.split("|") for session, raw in client.hgetall(key["blocks"]).items()}
    assert {batches[batch]["session"]: batch for batch in parked} == {s: block[0] for s, block in blocks.items() if block[0]}
