"""From 5 agents to 5 million: what a load needs, reckoned from the figures of the last run. Pure; prints the table of docs/growing.md.

python -m bench.planning            the table, from bench/results/costs.json
python -m bench.planning --measure  measures the costs first and writes that file
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "costs.json"
FLEETS = (5, 50, 1_000, 10_000, 100_000, 1_000_000, 5_000_000)
HOUR_S, RENEW_S, DAYS_KEPT = 3_600, 5.0, 1
# How full the one core of a server, or a router's, is planned to be: bursts come on top.
FULL = 0.5
MIB = 2**20


@dataclass(frozen=True)
class Load:
    """What each agent does on the average."""

    completions_per_hour: float = 6.0
    completions_per_heartbeat: float = 3.0
    heartbeat_s: float = 30.0
    places_per_worker: int = 32


@dataclass(frozen=True)
class Need:
    """Of one fleet. `stores` are servers with their own routers and workers; everything else is the sum over them."""

    agents: int
    completions_per_s: float
    running: float
    workers: int
    routers: int
    server_cores: float
    stores: int
    server_mib: float
    workers_mib: float


def need(agents: int, costs: dict[str, float], load: Load = Load()) -> Need:
    """The arithmetic. Heartbeats that run are their rate times how long they last (Little's law)."""
    completions = agents * load.completions_per_hour / HOUR_S
    beats = completions / load.completions_per_heartbeat
    running = beats * load.heartbeat_s
    by_places = running / FULL / load.places_per_worker
    by_cpu = beats * costs["beating_worker_us"] / 1e6 / FULL
    workers = max(1, ceil(max(by_places, by_cpu)))
    routers = max(1, ceil(completions * costs["routing_router_us"] / 1e6 / FULL))
    busy = completions * (costs["accepting_server_us"] + costs["routing_server_us"]) / 1e6
    busy += beats * costs["beating_server_us"] / 1e6 + running / RENEW_S * costs["renewing_server_us"] / 1e6
    busy += (costs["idle_server_percent"] + (workers - 1) * costs["another_worker_server_percent"]) / 100
    kept = completions * HOUR_S * 24 * DAYS_KEPT * costs["settled_bytes"]
    return Need(
        agents,
        completions,
        running,
        workers,
        routers,
        busy,
        max(1, ceil(busy / FULL)),
        (agents * costs["idle_agent_bytes"] + kept) / MIB,
        workers * costs["worker_mib"],
    )


def table(costs: dict[str, float]) -> str:
    """A row for each fleet."""
    lines = [
        "| agents | completions/s | heartbeats at once | workers | routers | cores of servers | servers | memory of servers | of workers |",
        "|---:" * 9 + "|",
    ]
    for agents in FLEETS:
        n = need(agents, costs)
        cells = [f"{n.agents:,}", per_second(n.completions_per_s), f"{n.running:,.1f}", f"{n.workers:,}", f"{n.routers:,}"]
        cells += [f"{n.server_cores:.2f}", f"{n.stores:,}", size(n.server_mib), size(n.workers_mib)]
        lines.append("| " + " | ".join(cell.replace(",", " ") for cell in cells) + " |")
    return "\n".join(lines)


def per_second(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB" if mib >= 1 else "below 1 MiB"


def units(costs: dict[str, float]) -> str:
    """What the table rests on."""
    rows = (
        ("accept a completion, server", f"{costs['accepting_server_us']:.0f} µs"),
        ("route it, server", f"{costs['routing_server_us']:.0f} µs"),
        ("route it, router", f"{costs['routing_router_us']:.0f} µs"),
        ("a heartbeat of five completions, server", f"{costs['beating_server_us'] / 1000:.1f} ms"),
        ("the same, worker, with a `python` runner that does nothing", f"{costs['beating_worker_us'] / 1000:.1f} ms"),
        ("keep one running heartbeat's lease for 5 s, server", f"{costs['renewing_server_us']:.0f} µs"),
        ("a worker at rest with 10 000 agents, of a core", f"{costs['idle_worker_percent']:.1f} %"),
        ("what a router and a worker at rest ask of the server's core", f"{costs['idle_server_percent']:.1f} %"),
        ("what one more worker at rest asks of it", f"{costs['another_worker_server_percent']:.2f} %"),
        ("a completion that waits (500 characters of output)", f"{costs['waiting_bytes']:.0f} bytes"),
        ("one that was settled, while it is remembered", f"{costs['settled_bytes']:.0f} bytes"),
        ("an agent with a cadence that does nothing", f"{costs['idle_agent_bytes']:.0f} bytes"),
        ("a worker process", f"{costs['worker_mib']:.0f} MiB"),
        ("a router process", f"{costs['router_mib']:.0f} MiB"),
    )
    return "\n".join(["| one | costs |", "|---|---:|", *(f"| {what} | {figure} |" for what, figure in rows)])


def main() -> None:
    if "--measure" in sys.argv[1:]:
        from bench.costs import costs

        RESULTS.write_text(json.dumps({"load_before": os.getloadavg()[0], **costs()}, indent=1) + "\n")
    known = json.loads(RESULTS.read_text())
    print(units(known), table(known), sep="\n\n")


if __name__ == "__main__":
    main()
