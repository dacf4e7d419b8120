"""What one process does in a second: `.delay()` and `batch()` against Celery's publish, routing against the bare steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Celery

from bench.ground import Ground
from dispatcher.app import use_config
from dispatcher.routing import Router
from dispatcher.store.connect import kombu_url
from dispatcher.store.inbox import Claimed
from dispatcher.store.scripts import scripts
from dispatcher.store.wire import Wire
from dispatcher.submit import completion_of, submission_of

CALLS, PAGE, AGENTS = 2_000, 500, 1_000


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
            for name, value in one_round(ground, plain).items():
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


def routing(ground: Ground) -> dict[str, float]:
    """Routed in a second of the wall and of the router's own CPU; and the same deposits and acknowledgements packed beforehand."""
    store = ground.store
    router = Router(store, use_config(ground.env["WAKE_CONFIG"]), Silent())
    count = store.ledger.inbox_depth()
    cpu = time.process_time()
    routed = per_second(router.drain_inbox, count)
    of_cpu = count / (time.process_time() - cpu)
    return {"routed": routed, "routed_per_cpu_s": of_cpu, "bare": bare(ground, router)}


def bare(ground: Ground, router: Router) -> float:
    """Completions a second when a client does nothing but send the packed steps and read the replies."""
    store, wire = ground.store, Wire(ground.store.client)
    words = [completion_of({"session_key": f"agent:a{number % AGENTS}:main", "exit_code": 1}) for number in range(CALLS)]
    store.inbox.submit_all([submission_of(one) for one in words])
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
