"""Faults of the server, of the way to it, of its clock, and of the disk. Each returns how often it was done."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.faults.acts_processes import replace_fleet
from bench.faults.proxy import Proxy
from bench.faults.site import FORKED, Load, Site

UNUSABLE = (b"not json", b"{}", b"null", b"[]", b'"text"', b"\xff\xfe", b'{"body": 1, "headers": {}, "properties": {}}')
CLOCK_STEPS_S = (2, -3, 45, -60, 0)
SPOOLED = 6


def kill_server(site: Site, _: Load, times: int) -> int:
    """SIGKILL, and up again on its append-only file."""
    for _number in range(times):
        site.kill("server", site.server.pid)
        site.server.kill()
        site.pause(1)
        site.server.start()
        site.pause(2)
    return times


def flush_scripts(site: Site, _: Load, times: int) -> int:
    with site.server.client() as client:
        for _number in range(times):
            client.script_flush()
            site.pause(0.1)
    return times


def kill_connections(site: Site, _: Load, times: int) -> int:
    """`CLIENT KILL` of all, those that show presence too."""
    with site.server.client() as client:
        for _number in range(times):
            client.client_kill_filter(_type="pubsub")
            client.client_kill_filter(_type="normal", skipme=True)
            site.pause(0.4)
    return times


def stall_server(site: Site, _: Load, times: int) -> int:
    """SIGSTOP for 2 s, and once for longer than anybody waits for an answer."""
    for number in range(times):
        site.server.freeze()
        site.pause(7 if number == 0 else 2)
        site.server.thaw()
        site.pause(1)
    return times


def disturb_the_way(site: Site, _: Load, times: int) -> int:
    """Everybody behind a proxy that delays, cuts in the middle of replies, drops all connections and stands still."""
    proxy = Proxy(site.server.port, site.seed)
    site.gateway.env["WAKE_REDIS_URL"] = proxy.url
    drops = 0
    try:
        replace_fleet(site)
        load = site.load("proxied", 60 * times, 30)
        for number in range(times):
            proxy.delay_s = 0.15
            site.pause(2)
            proxy.delay_s = 0.0
            proxy.cut_share = 0.03
            site.pause(4)
            proxy.cut_share = 0.0
            drops += proxy.drop_all()
            site.pause(0.5)
            proxy.stalled = True
            site.pause(7 if number == 0 else 2)
            proxy.stalled = False
            site.pause(1)
        site.finish(load)
    finally:
        del site.gateway.env["WAKE_REDIS_URL"]
        proxy.stalled, proxy.cut_share, proxy.delay_s = False, 0.0, 0.0
    replace_fleet(site)
    proxy.close()
    return proxy.cuts + drops + 2 * times


def lie_about_time(site: Site, _: Load, times: int) -> int:
    """The server's clock steps forward and back, also by more than a lease. Afterwards it tells the true time again."""
    library = faketime()
    if library is None:
        return 0
    offset = site.folder / "offset"
    offset.write_text("+0s\n")
    site.server.stop()
    site.server.env = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    site.server.env |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    site.server.start()
    done = 0
    for _number in range(times):
        for step_s in CLOCK_STEPS_S:
            fresh = site.folder / "offset.new"
            fresh.write_text(f"{step_s:+d}s\n")
            fresh.replace(offset)
            done += 1
            with site.server.client() as client:
                told = client.time()[0]
                if abs(told - time.time() - step_s) > 2:
                    raise AssertionError(f"the clock of the server did not step: {told - time.time():.0f} s instead of {step_s} s")
            site.pause(2)
    site.server.stop()
    site.server.env = {}
    site.server.start()
    return done


def faketime() -> Path | None:
    """The library of Debian's libfaketime, if it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def send_rubbish(site: Site, _: Load, times: int) -> int:
    """Items that are no Celery message, on each queue, where they are taken next."""
    done = 0
    with site.server.client() as client:
        for _number in range(times):
            for queue in _queues(site):
                for item in UNUSABLE:
                    client.rpush(queue, item)
                    done += 1
            site.pause(1)
    return done


def lose_and_double_doorbells(site: Site, load: Load, times: int) -> int:
    """Thieves wait at every queue like any worker. What they get is lost, or put back twice."""
    done = [0, 0]
    over = threading.Event()

    def steal(what: int) -> None:
        with site.server.client() as client:
            while not over.is_set():
                taken = client.brpop(_queues(site), timeout=1)
                if taken:
                    queue, message = taken
                    done[what] += 1
                    for _copy in range(2 * what):
                        client.rpush(queue, message)
                    over.wait(0.05)  # or they would get their own copies for ever

    site.wait(lambda: load.accepted, "the first doorbells ring")  # a busy machine is slow to start the producer
    thieves = [threading.Thread(target=steal, args=(number % 2,)) for number in range(4)]
    for thief in thieves:
        thief.start()
    site.pause(times / 10)
    over.set()
    for thief in thieves:
        thief.join(10)
    return sum(done)


def fill_the_disk(site: Site, _: Load, times: int) -> int:
    """`wake exec` without a server and without room says so; with room it keeps the completion, and a flush delivers it."""
    away = {"WAKE_REDIS_URL": "redis://127.0.0.1:1/0"}
    for number in range(times):
        lost = _exec(site, f"b{number % len(FORKED)}.full.{number:05d}", away, no_room=True)
        if lost.returncode != 3 or "kept" not in (said := lost.stderr.decode("utf-8", "replace")):
            raise AssertionError(f"wake exec on a full disk: status {lost.returncode}, {said!r}")
        for copy in range(SPOOLED):
            completion_id = f"b{copy % len(FORKED)}.spooled.{number}{copy:04d}"
            kept = _exec(site, completion_id, away)
            if kept.returncode != 3:
                raise AssertionError(f"wake exec without a server: status {kept.returncode}, {kept.stderr!r}")
            site.planned.append(completion_id)
    words = [sys.executable, "-P", "-m", "dispatcher.cli", "spool", "flush"]
    flushed = subprocess.run(words, env=_environment(site, {}), cwd=site.folder, capture_output=True, timeout=60, check=False)
    if flushed.returncode:
        raise AssertionError(f"wake spool flush: status {flushed.returncode}, {flushed.stderr!r}")
    return times


def _exec(site: Site, completion_id: str, env: dict[str, str], *, no_room: bool = False) -> subprocess.CompletedProcess[bytes]:
    agent = completion_id.partition(".")[0]
    words = ["exec", "--session-key", f"agent:{agent}:main", "--id", completion_id, "--", "sh", "-c", "exit 3"]
    room = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))) if no_room else None
    return subprocess.run(
        [sys.executable, "-P", "-m", "dispatcher.cli", *words],
        env=_environment(site, env),
        cwd=site.folder,
        capture_output=True,
        timeout=60,
        preexec_fn=room,
        check=False,
    )


def _environment(site: Site, env: dict[str, str]) -> dict[str, str]:
    from tests.support.sources import ROOT

    return os.environ | site.gateway.env | {"PYTHONPATH": str(ROOT)} | env


def _queues(site: Site) -> list[str]:
    config = site.gateway.config
    return ["wake.inbox", *(f"wake.{pool}.{n:02d}" for pool in config.pool_names() for n in range(config.pool(pool).partitions))]
