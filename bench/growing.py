"""W6: how many completions a second before a heartbeat starts late. W7: what one costs while the backlog and the agents grow."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

from bench.ground import Ground
from bench.notes import Turn
from bench.racing import percentile
from bench.rates import Silent
from dispatcher import names
from dispatcher.config import load
from dispatcher.routing import Router
from dispatcher.store.connect import kombu_url
from dispatcher.store.inbox import Submission
from dispatcher.submit import completion_of, submission_of

LATE_MS, FIRST_RATE, STEP = 1_000.0, 10, 1.5
CHUNK, SLICE = 500, 5_000
BIG = "[bounds]\nmax_inbox = 10000000\nmax_ids = 10000000\nmax_mailbox = 10000000"


def w6(agents: int, workers: int, seconds: float = 8.0) -> dict[str, Any]:
    """The arrival rate is raised by half until the 95th percentile of acceptance -> start is a second; the last one below it."""
    with Ground(more=BIG) as ground:
        ground.start_wake(workers)
        teller = Celery("bench", broker=kombu_url(ground.server.url), set_as_current=False)
        submit(ground, teller, [completed("warm", 0)])
        ground.until(ground.notes.read, "the first one ran")
        rate, good, steps = float(FIRST_RATE), 0.0, []
        while rate < 100_000:
            p95_ms, achieved = paced(ground, teller, agents, rate, seconds)
            steps.append({"rate": achieved, "p95_ms": p95_ms})
            if p95_ms > LATE_MS or achieved < rate * 0.8:
                break
            good, rate = achieved, rate * STEP
        return {"agents": agents, "workers": workers, "per_second": good, "steps": steps}


def submit(ground: Ground, teller: Celery, page: list[Submission]) -> None:
    """As a producer does: a router is told when it does not know yet."""
    if any(announce for _, announce in ground.store.inbox.submit_all(page)):
        teller.send_task(names.ROUTE, queue=names.inbox_queue("wake"), ignore_result=True)


def paced(ground: Ground, teller: Celery, agents: int, rate: float, seconds: float) -> tuple[float, float]:
    """(p95 of acceptance -> start in ms, the rate that was sent)."""
    first, count = len(ground.notes.read()), int(rate * seconds)
    sent: dict[str, int] = {}
    started = time.monotonic()
    while len(sent) < count:
        due = min(count, int((time.monotonic() - started) * rate) + 1)
        page = []
        for number in range(len(sent), due):
            name = f"r{rate:.0f}-{number}"
            sent[name] = time.time_ns()
            page.append(completed(name, number % agents))
        if page:
            submit(ground, teller, page)
        time.sleep(0.005)
    took_s = time.monotonic() - started
    deadline = time.monotonic() + 10 + seconds
    starts: dict[str, int] = {}
    while len(starts) < count and time.monotonic() < deadline:
        time.sleep(0.05)
        fresh: list[Turn] = ground.notes.read()[first:]
        starts = {one: turn.started for turn in fresh for one in turn.ids if one in sent}
    late = float("inf")
    return percentile([(starts[name] - at) / 1e6 if name in starts else late for name, at in sent.items()], 0.95), count / took_s


def completed(name: str, agent: int) -> Submission:
    return submission_of(completion_of({"completion_id": name, "session_key": f"agent:a{agent}:main", "exit_code": 1}))


def w7(backlog: int, agents: int) -> dict[str, Any]:
    """µs of router and server CPU for each completion: of the first ones that are routed, and of the last, with `backlog` in the inbox."""
    with Ground(more=BIG) as ground:
        store = ground.store
        store.inbox.prepare()
        router = Router(store, load(ground.folder / "wake.toml", {}), Silent())
        for start in range(0, backlog, CHUNK):
            store.inbox.submit_all([completed(f"b{number}", number % agents) for number in range(start, min(start + CHUNK, backlog))])
        costs, left, measured = [], backlog, min(SLICE, backlog)
        while left > 0:
            cpu, server, at = time.process_time(), ground.server_cpu_s(), time.perf_counter()
            taken = 0
            while taken < measured and left > 0:
                claimed = store.inbox.claim(router.consumer, CHUNK)
                router.deliver(router.own_all(claimed))
                taken, left = taken + len(claimed.entries), left - len(claimed.entries)
            router_us, server_us = (time.process_time() - cpu) * 1e6, (ground.server_cpu_s() - server) * 1e6
            costs.append(
                {"router_us": router_us / taken, "server_us": server_us / taken, "wall_us": (time.perf_counter() - at) * 1e6 / taken}
            )
        return {"backlog": backlog, "agents": agents, "first": costs[0], "last": costs[-1]}
