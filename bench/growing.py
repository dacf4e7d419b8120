"""W6: how many completions a second before a heartbeat starts late. W7: what one costs while the backlog and the agents grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import fmean
from typing import Any, NamedTuple

from celery import Celery

from bench.ground import Ground
from bench.racing import percentile
from bench.rates import Silent
from dispatcher import names
from dispatcher.config import load
from dispatcher.routing import Router
from dispatcher.store.connect import kombu_url
from dispatcher.store.inbox import Submission
from dispatcher.submit import completion_of, submission_of

LATE_MS, FIRST_RATE, STEP, FINER, SENT = 1_000.0, 20.0, 2.0, 3, 0.9
PATIENCE_S = 60.0
CHUNK, SLICE = 500, 5_000
BIG = "[bounds]\nmax_inbox = 10000000\nmax_ids = 10000000\nmax_mailbox = 10000000"


class Step(NamedTuple):
    """A rate that was tried, the rate that came of it, and the 99th percentile of acceptance -> start."""

    rate: float
    sent: float
    p99_ms: float


def w6(agents: int, workers: int, seconds: float) -> dict[str, Any]:
    """The highest arrival rate, held for so many seconds, at which the 99th percentile of acceptance -> start is below a second."""
    with Ground(more=BIG) as ground:
        ground.start_wake(workers)
        teller = Celery("bench", broker=kombu_url(ground.server.url), set_as_current=False)
        submit(ground, teller, [completed("warm", 0)])
        ground.until(ground.notes.read, "the first one ran")
        serial = count(1)
        good, bound, steps = highest(lambda rate: paced(ground, teller, agents, rate, seconds, serial))
        found = {"agents": agents, "workers": workers, "seconds": seconds, "per_second": good, "bound": bound}
        return found | {"steps": [step._asdict() for step in steps]}


def highest(attempt: Callable[[float], Step]) -> tuple[float, str, list[Step]]:
    """Doubles the rate until one is late, then halves the gap FINER times: (the highest good rate, its bound, all that was tried).

    A late rate is tried once more: a machine that others use, too, stands still for a second now and then.
    The bound is "late", or "sender" when this process could not send as fast and the limit lies higher.
    """
    steps: list[Step] = []
    rate, good, bad, left, proved = FIRST_RATE, 0.0, 0.0, FINER, 0.0
    while True:
        step = attempt(rate)
        steps.append(step)
        if step.p99_ms > LATE_MS:
            step = attempt(rate)
            steps.append(step)
        if step.p99_ms > LATE_MS:
            bad = rate
        elif step.sent < rate * SENT:
            return max(proved, step.sent), "sender", steps
        else:
            good, proved = rate, min(rate, step.sent)
        if bad and not (good and left):
            return proved, "late", steps
        left -= bool(bad)
        rate = (good * bad) ** 0.5 if bad else rate * STEP


def submit(ground: Ground, teller: Celery, page: list[Submission]) -> None:
    """As a producer does: a router is told when it does not know yet."""
    if any(announce for _, announce in ground.store.inbox.submit_all(page)):
        teller.send_task(names.ROUTE, queue=names.inbox_queue("wake"), ignore_result=True)


def paced(ground: Ground, teller: Celery, agents: int, rate: float, seconds: float, serial: Iterator[int]) -> Step:
    """Sends at this rate, one agent after the other, and waits until all has started; what has not, counts as late as was waited."""
    first, total = len({one for turn in ground.notes.read() for one in turn.ids}), int(rate * seconds)
    sent: dict[str, int] = {}
    started = time.monotonic()
    while len(sent) < total:
        due = min(total, int((time.monotonic() - started) * rate) + 1)
        page = []
        for _ in range(len(sent), due):
            number = next(serial)
            sent[f"r{number}"] = time.time_ns()
            page.append(completed(f"r{number}", number % agents))
        if page:
            submit(ground, teller, page)
        time.sleep(0.005)
    took_s = time.monotonic() - started
    ground.notes.wait(first + total, PATIENCE_S)
    starts = {one: turn.started for turn in ground.notes.turns for one in turn.ids}
    now = time.time_ns()
    return Step(rate, total / took_s, percentile([(starts.get(name, now) - at) / 1e6 for name, at in sent.items()], 0.99))


def completed(name: str, agent: int) -> Submission:
    return submission_of(completion_of({"completion_id": name, "session_key": f"agent:a{agent}:main", "exit_code": 1}))


def w7(backlog: int, agents: int) -> dict[str, Any]:
    """µs of router and server CPU for each completion: of the first ones that are routed, and of the last, with `backlog` in the inbox.

    A backlog below SLICE is filled and routed again until so many are measured.
    """
    with Ground(more=BIG) as ground:
        ground.store.inbox.prepare()
        router = Router(ground.store, load(ground.folder / "wake.toml", {}), Silent())
        fill(ground, "warm", 2 * CHUNK, agents)
        route(ground, router, 2 * CHUNK)
        slice_, costs = min(SLICE, backlog), list[tuple[dict[str, float], dict[str, float]]]()
        for turn in range(SLICE // slice_):
            fill(ground, f"t{turn}", backlog, agents)
            first = cost(ground, router, slice_)
            route(ground, router, backlog - 2 * slice_)
            costs.append((first, cost(ground, router, slice_) if backlog >= 2 * slice_ else first))
        first, last = ({what: fmean(pair[place][what] for pair in costs) for what in costs[0][0]} for place in (0, 1))
        return {"backlog": backlog, "agents": agents, "first": first, "last": last}


def fill(ground: Ground, name: str, backlog: int, agents: int) -> None:
    for start in range(0, backlog, CHUNK):
        page = [completed(f"{name}-{number}", number % agents) for number in range(start, min(start + CHUNK, backlog))]
        ground.store.inbox.submit_all(page)


def route(ground: Ground, router: Router, wanted: int) -> None:
    """So many of the inbox."""
    while wanted > 0:
        claimed = ground.store.inbox.claim(router.consumer, min(CHUNK, wanted))
        router.deliver(router.own_all(claimed))
        wanted -= len(claimed.entries)


def cost(ground: Ground, router: Router, wanted: int) -> dict[str, float]:
    """µs for each of so many."""
    cpu, server, at = time.process_time(), ground.server_cpu_s(), time.perf_counter()
    route(ground, router, wanted)
    used_s = {"router_us": time.process_time() - cpu, "server_us": ground.server_cpu_s() - server, "wall_us": time.perf_counter() - at}
    return {what: value * 1e6 / wanted for what, value in used_s.items()}
