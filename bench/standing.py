"""W4: a worker is killed in mid-heartbeat. W5: what agents cost that only tick."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from bench.ground import Ground, cpu_s, rss_mib
from bench.racing import overlaps, percentile
from dispatcher.config import load, rules_of
from dispatcher.core.snapshot import Tick
from dispatcher.store.cadences import TickChange
from dispatcher.submit import completion_of, submission_of

RUN_S, TICK_MS = 3.0, 6 * 3_600_000


def w4(kills: int) -> dict[str, Any]:
    """Default settings, two workers, heartbeats of 3 s: seconds from SIGKILL to the next start of the same completion."""
    with Ground(turn_s=RUN_S) as ground:
        ground.start_wake(workers=2)
        grown_s = ground.store.limits.min_uptime_s + 1
        ground.until(lambda: ground.store.client.info("server")["uptime_in_seconds"] >= grown_s, "the server is no longer young")
        waits = []
        for number in range(kills):
            waits.append(one_kill(ground, f"k{number}"))
            ground.processes[:] = [process for process in ground.processes if process.poll() is None]
            ground.start(["workers", "worker"])
            ground.present(3)
        ground.until(lambda: ground.store.ledger.balance().settled >= kills, "all are settled")
        balance = ground.store.ledger.balance()
        turns = ground.notes.read()
    return {
        "kills": kills,
        "lost": balance.accepted - balance.settled,
        "overlaps": overlaps(turns),
        "seconds": waits,
        "p50_s": percentile(waits, 0.5),
        "p99_s": percentile(waits, 0.99),
    }


def one_kill(ground: Ground, name: str) -> float:
    store, agent = ground.store, f"agent-{name}"
    store.inbox.submit(submission_of(completion_of({"completion_id": name, "session_key": f"agent:{agent}:main", "exit_code": 1})))

    def holder() -> str:
        found = store.ledger.agent(agent)
        return found.holder if found and found.running and found.holder else ""

    ground.until(holder, "it runs")
    first = holder()
    pid = int(first.split(".")[-2])
    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    ground.until(lambda: holder() not in ("", first), "it runs again")
    return time.monotonic() - killed_at


def w5(agents: int, idle_s: float) -> dict[str, Any]:
    """Agents with a pending tick in some hours: bytes of the server for each; worker and server while nothing happens."""
    with Ground(defaults='every = "12h"') as ground:
        store = ground.store
        now_ms = store.ledger.now_ms()
        config = load(Path(ground.env["WAKE_CONFIG"]), {})
        # As their own cadence would have it, so that the worker finds nothing to set; none of them comes due meanwhile.
        cadence = [(f"agent{number}", rules_of(config, f"agent{number}").cadence) for number in range(agents)]
        ticks = [TickChange(agent, None, Tick(now_ms + TICK_MS + place, of)) for place, (agent, of) in enumerate(cadence)]
        store.cadences.change_all("agents", [TickChange("warm", None, Tick(now_ms + TICK_MS, cadence[0][1]))])  # scripts, not agents
        before = int(store.client.info("memory")["used_memory"])
        replies = store.cadences.change_all("agents", ticks)
        size = (int(store.client.info("memory")["used_memory"]) - before) / agents
        started = time.monotonic()
        ground.start_wake()
        ready_s = time.monotonic() - started
        time.sleep(5 + agents / 10_000)  # it reads every cadence once
        worker = ground.processes[-1]
        cpu, server, at = cpu_s(worker.pid), ground.server_cpu_s(), time.monotonic()
        time.sleep(idle_s)
        took_s = time.monotonic() - at
        return {
            "agents": agents,
            "set": sum(reply.status == "SET" for reply in replies),
            "bytes_per_agent": size,
            "ready_s": ready_s,
            "worker_cpu_percent": (cpu_s(worker.pid) - cpu) / took_s * 100,
            "server_cpu_percent": (ground.server_cpu_s() - server) / took_s * 100,
            "worker_rss_mib": rss_mib(worker.pid),
        }
