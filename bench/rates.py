"""One process, per second: `.delay()` and `batch()` against Celery's publish, routing against Celery's tasks and the bare steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Celery

from bench.ground import Ground, cpu_s
from bench.peers.environments import CELERY_PLAIN
from dispatcher.app import app as dispatcher_app
from dispatcher.app import use_config
from dispatcher.doorbell import Doorbell
from dispatcher.routing import Router
from dispatcher.store.connect import kombu_url
from dispatcher.store.entries import Claimed
from dispatcher.store.inbox import Submission
from dispatcher.store.scripts import scripts
from dispatcher.store.wire import Wire
from dispatcher.submit import completion_of, submission_of

CALLS, PAGE, AGENTS = 2_000, 500, 1_000
WARM = 50


class Silent:
    """Rings nobody: what routing costs is measured without Celery's publish."""

    def ring_all(self, agents: Any) -> int:
        return len(list(agents))


def per_second(act: Callable[[], object], count: int = CALLS) -> float:
    started = time.perf_counter()
    act()
    return count / (time.perf_counter() - started)


def rates(rounds: int) -> dict[str, list[float]]:
    """Each round does each of them once."""
    with Ground() as ground:
        use_config(ground.env["WAKE_CONFIG"])
        ground.store.inbox.prepare()
        plain = Celery("plain", broker=kombu_url(ground.server.url), set_as_current=False)
        plain.conf.task_ignore_result = True
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, value in (one_round(ground, plain) | celery_tasks()).items():
                found.setdefault(name, []).append(value)
        return found


def one_round(ground: Ground, plain: Celery) -> dict[str, float]:
    from dispatcher import batch, exec_completed

    def celery() -> None:
        for number in range(CALLS):
            plain.send_task("plain.task", kwargs={"agent": f"a{number % AGENTS}", "output": "x" * 50}, queue="plain")

    def delay() -> None:
        for number in range(CALLS):
            exec_completed.delay(session_key=f"agent:a{number % AGENTS}:main", exit_code=1, output="x" * 50)

    def gathered() -> None:
        with batch():
            delay()

    return {"celery": per_second(celery), "delay": per_second(delay), "batch": per_second(gathered)} | routing(ground)


def celery_tasks() -> dict[str, float]:
    """Tasks that do nothing, by plain Celery: in a second of the wall, and of the worker's own CPU."""
    with Ground() as ground:
        worker, client = ground.run(CELERY_PLAIN.worker()), ground.store.client
        app = Celery("plain", broker=kombu_url(ground.server.url), set_as_current=False)
        app.conf.task_ignore_result = True

        def run(count: int) -> None:
            for _ in range(count):
                app.send_task("plain.nothing")
            # Acknowledged late: what runs is still among the unacknowledged.
            ground.until(lambda: not client.llen("celery") and not client.hlen("unacked"), f"{count} tasks are done")

        run(WARM)
        cpu, started = cpu_s(worker.pid), time.perf_counter()
        run(CALLS)
        took_s, used_s = time.perf_counter() - started, cpu_s(worker.pid) - cpu
        app.close()
        return {"celery_tasks": CALLS / took_s, "celery_tasks_per_cpu_s": CALLS / used_s}


def routing(ground: Ground) -> dict[str, float]:
    """Routed in a second of the wall and of the router's own CPU; and the same deposits and acknowledgements packed beforehand.

    `rung`: of agents that nobody woke before, so that each gets its doorbell, published as a router does it.
    """
    store, config = ground.store, use_config(ground.env["WAKE_CONFIG"])
    router, ringing = Router(store, config, Silent()), Router(store, config, Doorbell(dispatcher_app, store, config))
    routed, of_cpu = drained(ground, router)
    fresh = f"n{time.time_ns()}"
    store.inbox.submit_all([completion(f"{fresh}x{number % AGENTS}") for number in range(CALLS)])
    _, rung_of_cpu = drained(ground, ringing)
    return {"routed": routed, "routed_per_cpu_s": of_cpu, "rung_per_cpu_s": rung_of_cpu, "bare": bare(ground, router)}


def drained(ground: Ground, router: Router) -> tuple[float, float]:
    """Completions that are routed in a second of the wall, and of this process's CPU."""
    count, cpu, started = ground.store.ledger.inbox_depth(), time.process_time(), time.perf_counter()
    router.drain_inbox()
    return count / (time.perf_counter() - started), count / (time.process_time() - cpu)


def completion(agent: str) -> Submission:
    return submission_of(completion_of({"session_key": f"agent:{agent}:main", "exit_code": 1}))


def bare(ground: Ground, router: Router) -> float:
    """Completions a second when a client does nothing but send the packed steps and read the replies."""
    store, wire = ground.store, Wire(ground.store.client)
    store.inbox.submit_all([completion(f"a{number % AGENTS}") for number in range(CALLS)])
    pages: list[Claimed] = []
    while (claimed := store.inbox.claim(router.consumer, PAGE)).entries:
        pages.append(claimed)
    owned = [router.own_all(page) for page in pages]
    packed = []
    for page in owned:
        calls = store.mailbox.deposit_calls([(item.deposit, item.quiet) for item in page])
        packed.append([scripts()[call.script].packed(call.keys, call.args) for call in calls])
    started = time.perf_counter()
    for page, commands in zip(owned, packed, strict=True):
        wire.exchange(commands)
        router.acknowledge(page)
    return CALLS / (time.perf_counter() - started)
