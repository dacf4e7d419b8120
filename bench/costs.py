"""What one completion, one heartbeat and one agent cost, for the arithmetic of `bench.planning`."""

from __future__ import annotations

import time
from typing import Any

from bench.ground import NO_GUARDS, Ground, cpu_s, rss_mib
from bench.rates import Silent
from bench.standing import w5
from dispatcher.config import load
from dispatcher.core.models import Lease
from dispatcher.routing import Router
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.submit import completion_of, submission_of

AGENTS, EACH, OUTPUT_CHARS = 1_000, 5, 500
REST_S, SETTLE_S, MANY = 20.0, 6.0, 6
HELD, RENEWALS, LIMIT_MS = 200, 50, 3_600_000


def costs() -> dict[str, float]:
    """CPU in µs and memory in bytes, each for one; what idles in percent of a core."""
    idle = w5(10_000, REST_S)
    few, many = resting(1), resting(MANY)
    return {
        **working(),
        **holding(),
        "idle_agent_bytes": idle["bytes_per_agent"],
        "idle_worker_percent": idle["worker_cpu_percent"],
        "idle_server_percent": few,
        "another_worker_server_percent": (many - few) / (MANY - 1),
    }


def resting(workers: int) -> float:
    """What a router and so many workers that have nothing to do ask of the server, in percent of a core."""
    with Ground() as ground:
        ground.start_wake(workers)
        time.sleep(SETTLE_S)
        server, at = ground.server_cpu_s(), time.monotonic()
        time.sleep(REST_S)
        return (ground.server_cpu_s() - server) / (time.monotonic() - at) * 100


def working() -> dict[str, float]:
    """Completions are accepted, then routed, then run by one worker, five to a heartbeat: each part has the server to itself."""
    with Ground() as ground:
        store, count = ground.store, AGENTS * EACH
        store.inbox.prepare()
        router = Router(store, load(ground.folder / "wake.toml", {}), Silent())
        words = [
            {"completion_id": f"c{n}", "session_key": f"agent:a{n % AGENTS}:main", "exit_code": 1, "output": "x" * OUTPUT_CHARS}
            for n in range(count)
        ]
        memory, server = used_bytes(ground), ground.server_cpu_s()
        for one in words:
            store.inbox.submit(submission_of(completion_of(one)))
        found = {"accepting_server_us": (ground.server_cpu_s() - server) / count * 1e6}
        server, own = ground.server_cpu_s(), time.process_time()
        router.drain_inbox()
        found["routing_router_us"] = (time.process_time() - own) / count * 1e6
        found["routing_server_us"] = (ground.server_cpu_s() - server) / count * 1e6
        found["waiting_bytes"] = (used_bytes(ground) - memory) / count
        server = ground.server_cpu_s()
        ground.start_wake()
        router_pid, worker_pid = (process.pid for process in ground.processes)
        own = cpu_s(worker_pid)
        ground.until(lambda: store.ledger.balance().settled >= count, "all are settled")
        beats = len(ground.notes.read())
        found["beating_worker_us"] = (cpu_s(worker_pid) - own) / beats * 1e6
        found["beating_server_us"] = (ground.server_cpu_s() - server) / beats * 1e6
        found["settled_bytes"] = (used_bytes(ground) - memory) / count
        return found | {"worker_mib": rss_mib(worker_pid), "router_mib": rss_mib(router_pid), "per_heartbeat": count / beats}


def holding() -> dict[str, float]:
    """What the server spends on one renewal of one running heartbeat."""
    with Ground(defaults=NO_GUARDS + "\nwindow_ms = 0") as ground:
        store = ground.store
        store.inbox.prepare()
        for number in range(HELD):
            words = {"session_key": f"agent:a{number}:main", "exit_code": 1}
            store.inbox.submit(submission_of(completion_of(words)))
        Router(store, load(ground.folder / "wake.toml", {}), Silent()).drain_inbox()
        running = [begun(ground, f"a{number}") for number in range(HELD)]
        server = ground.server_cpu_s()
        for _ in range(RENEWALS):
            store.mailbox.renew_all(running)
        return {"renewing_server_us": (ground.server_cpu_s() - server) / HELD / RENEWALS * 1e6}


def begun(ground: Ground, agent: str) -> tuple[Lease, str]:
    leased = ground.store.mailbox.acquire(agent, "agents", "bench", "nonce")
    if not isinstance(leased, Leased):
        raise RuntimeError(f"acquire agent={agent}: {leased}")
    started: Any = ground.store.mailbox.begin(leased.lease, f"agent:{agent}:main", ("event",), 100, LIMIT_MS)
    if not isinstance(started, Begun):
        raise RuntimeError(f"begin agent={agent}: {started}")
    return leased.lease, started.batch.batch_id


def used_bytes(ground: Ground) -> int:
    return int(ground.store.client.info("memory")["used_memory"])
