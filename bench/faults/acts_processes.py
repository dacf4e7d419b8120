"""Faults of processes: SIGKILL, SIGSTOP, restarts. Each returns how often it was done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from bench.faults.evidence import Turn
from bench.faults.site import FLEET, FORKED, THREADED, Load, Site
from tests.support.gateway import Worker

SETTLE_S = 0.3  # between two kills of the same kind


def kill_workers(site: Site, _: Load, times: int) -> int:
    """A worker with threads that runs something, while another one is there."""
    for _number in range(times):
        _two_present(site, "threads")
        here = {worker.pid: worker for worker in site.of("threads") if site.gateway.is_present(worker)}
        running = _some_running(site, set(here))
        site.kill_member("threads", here[running[0].parent] if running else site.random.choice(list(here.values())))
    return times


def kill_children(site: Site, load: Load, times: int) -> int:
    """A forked child in the middle of a heartbeat; its worker lives on. For as long as there is something to do."""
    done = 0
    while done < times and (load.process.poll() is None or site.working()):
        if children := sorted({turn.parent for turn in site.running() if turn.agent in FORKED}):
            site.kill("child", site.random.choice(children))
            done += 1
            site.pause(SETTLE_S)
        site.pause(0.02)
    return done


def kill_parents(site: Site, _: Load, times: int) -> int:
    """The parent of forked children, which end by themselves."""
    for _number in range(times):
        _two_present(site, "forked")
        victim = site.random.choice(site.of("forked"))
        for turn in site.running():
            if _group(turn.parent) == victim.pid:
                site.deaths[turn.parent] = time.monotonic()
        site.kill_member("forked", victim)
    return times


def kill_routers(site: Site, _: Load, times: int) -> int:
    for _number in range(times):
        _two_present(site, "router")
        site.kill_member("router", site.random.choice(site.of("router")))
        site.pause(SETTLE_S)
    return times


def kill_producers(site: Site, load: Load, times: int) -> int:
    """The producer while it reports; the next one goes on where the receipts end."""
    done = 0
    while done < times and load.process.poll() is None:
        _await_report(site, load, load.accepted)
        if load.process.poll() is None:
            site.kill_producer(load)
            done += 1
    return done


def kill_supervisors(site: Site, _: Load, times: int) -> int:
    """`wake up` beside the others; its router and workers drain and end without it."""
    for _number in range(times):
        _kill_supervisor(site)
    return times


def _kill_supervisor(site: Site) -> None:
    up = site.gateway.start("up")
    site.wait(lambda: "ready: router" in up.said(), "`wake up` is ready")
    children = [int(pid) for path in Path(f"/proc/{up.pid}/task").glob("*/children") for pid in path.read_text().split()]
    site.kill("supervisor", up.pid)
    up.process.wait()
    site.wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "what it supervised has ended")


def stop_beyond_the_lease(site: Site, _: Load, times: int) -> int:
    """SIGSTOP in the middle of a heartbeat, SIGCONT when another worker has taken over."""
    for _number in range(times):
        _stop_one(site, site.random.choice(sorted(THREADED)))
    return times


def _stop_one(site: Site, agent: str) -> None:
    ttl_s = site.lease["ttl_ms"] / 1000
    site.turns_last(ttl_s + 30, agent)
    long: list[tuple[int, str]] = []

    def begun() -> bool:
        now = time.monotonic()
        long[:] = [(t.parent, t.batch_id) for t in site.running() if t.agent == agent and now - t.started > 0.5]
        return bool(long)

    site.wait(begun, f"{agent} is in the middle of a long turn")
    site.turns_last(0.25, agent)
    (holder, batch), stopped = long[0], time.monotonic()
    os.kill(holder, signal.SIGSTOP)
    site.stops[holder] = stopped
    site.wait(
        lambda: any(t.batch_id == batch and t.started > stopped for t in site.turns()),
        "another worker has taken over",
        4 * ttl_s + 30,  # where the machine is so slow that slots go unswept for a second, each gap grants the lease one more ttl
    )
    os.kill(holder, signal.SIGCONT)


def roll_everything(site: Site, _: Load, times: int) -> int:
    """A new one first, then SIGTERM to the old one, one after the other; then the server, gracefully."""
    done = 0
    for _number in range(times):
        for kind, worker in [(k, w) for k, w in site.members if w.alive]:
            _roll_one(site, kind, worker)
            done += 1
        site.server.restart()
        site.ready()
    return done + times


def _roll_one(site: Site, kind: str, worker: Worker) -> None:
    site.ready(site.start(kind))
    worker.signal(signal.SIGTERM)
    site.wait(lambda: not worker.alive, f"{worker.log.name} has drained")
    if worker.process.returncode:
        raise AssertionError(f"{worker.log.name} ended with {worker.process.returncode}")


def replace_fleet(site: Site) -> None:
    """All at once: the new ones first, then the old ones drain."""
    old = [worker for _, worker in site.members if worker.alive]
    for kind in FLEET:
        site.start(kind)
    site.ready()
    for worker in old:
        worker.signal(signal.SIGTERM)
    site.wait(lambda: not any(worker.alive for worker in old), "the old ones have drained")


def _await_report(site: Site, load: Load, before: int) -> None:
    site.wait(lambda: load.accepted > before or load.process.poll() is not None, "the producer reports")


def _two_present(site: Site, kind: str) -> None:
    site.wait(lambda: sum(map(site.gateway.is_present, site.of(kind))) >= 2, f"two of {kind} are present")


def _some_running(site: Site, pids: set[int]) -> list[Turn]:
    """Turns of these workers, waited for a moment."""
    until = time.monotonic() + 2
    while not (found := site.running(pids)) and time.monotonic() < until:
        site.pause(0.02)
    return found


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
