"""The course: one fault after another under load; after each everything must come to rest, and everything so far is counted."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.faults import acts_processes, acts_server
from bench.faults.evidence import take_overs, verdict
from bench.faults.site import POOLS, Load, Site
from dispatcher.core.errors import StoreUnavailable
from tests.seeds.trace import Traced, traced

DEFAULT_LEASE = {"ttl_ms": 30_000, "renew_ms": 5_000, "margin_ms": 2_000}
SHORT_LEASE = {"ttl_ms": 4_000, "renew_ms": 600, "margin_ms": 600}
REST_S = 180.0
YOUNG_S = 11  # nobody reclaims early on a server younger than 10 s


@dataclass(frozen=True)
class Act:
    """One fault. `times` and `completions` (at `per_second`) are those of the full campaign and of the short one."""

    name: str
    run: Callable[[Site, Load, int], int]
    times: tuple[int, int]
    completions: tuple[int, int]
    per_second: float = 60.0


ACTS = (
    Act("SIGKILL of workers", acts_processes.kill_workers, (50, 2), (4_800, 150)),
    Act("SIGKILL of pool children", acts_processes.kill_children, (90, 3), (4_500, 100)),
    Act("SIGKILL of prefork parents", acts_processes.kill_parents, (8, 0), (900, 0)),
    Act("SIGKILL of routers", acts_processes.kill_routers, (30, 1), (3_000, 100)),
    Act("SIGKILL of producers", acts_processes.kill_producers, (30, 2), (2_400, 100)),
    Act("SIGKILL of supervisors", acts_processes.kill_supervisors, (3, 0), (700, 0)),
    Act("SIGSTOP beyond the lease, SIGCONT", acts_processes.stop_beyond_the_lease, (1, 1), (900, 200), 30.0),
    Act("script cache flushed", acts_server.flush_scripts, (60, 10), (500, 60)),
    Act("CLIENT KILL of all", acts_server.kill_connections, (15, 3), (500, 60)),
    Act("items that are no message", acts_server.send_rubbish, (3, 1), (400, 60)),
    Act("doorbells lost and doubled", acts_server.lose_and_double_doorbells, (80, 20), (700, 100)),
    Act("server stands still", acts_server.stall_server, (3, 1), (500, 60)),
    Act("delays, cuts, drops on the way", acts_server.disturb_the_way, (2, 0), (300, 0), 30.0),
    Act("no room for the spool", acts_server.fill_the_disk, (3, 1), (200, 20)),
    Act("SIGKILL of the server", acts_server.kill_server, (5, 1), (800, 60)),
    Act("steps of the server's clock", acts_server.lie_about_time, (2, 1), (700, 60)),
    Act("restart of everything, one by one", acts_processes.roll_everything, (1, 0), (700, 0)),
)


@dataclass
class Row:
    """What one act did and what came of it; counts are those of this act alone."""

    name: str
    injected: int
    sigkills: int
    completions: int
    heartbeats: int
    attempts_again: int
    lost: int
    twice: int
    foreign: int
    overlaps: int
    balance: int
    take_over_s: list[float]
    seconds: float
    problems: list[str]


@dataclass
class Campaign:
    """All acts on one site. `short` leaves out what takes long, with a lease of 4 s; the full one has the default lease."""

    folder: Path
    short: bool
    seed: int
    say: Callable[[str], object] = print
    only: str = ""  # of the acts those whose name has it
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    traced: Traced = field(default_factory=Traced)  # the whole ledger after the last act that came to rest

    def run(self) -> dict[str, Any]:
        """Everything that was found, as `report` writes it. Ends with the first act that finds something."""
        started = time.monotonic()
        site = Site(self.folder, SHORT_LEASE if self.short else DEFAULT_LEASE, self.seed)
        try:
            site.start_fleet()
            site.wait(lambda: self.short or site.uptime_s() > YOUNG_S, "the server is old enough for early reclaim")
            for act in self._acts():
                self.rows.append(self._one(site, act))
                self.say(f"{time.monotonic() - started:5.0f} s  {_line(self.rows[-1])}")
                if self.rows[-1].problems:
                    break
            return self._document(site, time.monotonic() - started)
        finally:
            site.close()

    def _acts(self) -> Iterator[Act]:
        for act in ACTS:
            if self.only not in act.name:
                self.left_out.append(f"{act.name}: not asked for")
            elif not act.times[self.short]:
                self.left_out.append(f"{act.name}: only in the full campaign")
            elif act.run is acts_server.lie_about_time and acts_server.faketime() is None:
                self.left_out.append(f"{act.name}: libfaketime is not installed here")
            else:
                yield act

    def _one(self, site: Site, act: Act) -> Row:
        started, before, kills, planned = time.monotonic(), len(site.turns()), sum(site.kills.values()), len(site.planned)
        deaths = set(site.deaths) | set(site.stops)
        load = site.load(f"{len(self.rows):02d}", act.completions[self.short], act.per_second)
        trouble: list[str] = []
        injected = 0
        try:
            injected = act.run(site, load, act.times[self.short])
            site.finish(load)
            self._rest(site)
        except (AssertionError, OSError) as error:
            trouble.append(f"{type(error).__name__}: {error}")
        found = verdict(site.gateway.store, POOLS, site.planned, turns := site.turns(), trouble)
        if not trouble:
            self.traced = traced(site.gateway.store)
            found = replace(found, problems=[*found.problems, *(f"{agent}: {why}" for agent, why in self.traced.refused.items())])
        ours = {pid: at for pid, at in (site.deaths | site.stops).items() if pid not in deaths}
        return Row(
            act.name,
            injected,
            sum(site.kills.values()) - kills,
            len(site.planned) - planned,
            len(turns) - before,
            sum(turn.attempt > 1 for turn in turns[before:]),
            len(found.lost),
            len(found.repeated),
            len(found.foreign),
            found.overlaps,
            found.books["balance"],
            sorted(round(s, 3) for s in take_overs(turns, ours)),
            round(time.monotonic() - started, 1),
            list(found.problems),
        )

    def _rest(self, site: Site) -> None:
        """Waits until nothing waits or runs any more."""

        def at_rest() -> bool:
            try:
                return not site.working() and site.gateway.store.ledger.balance().accepted == len(site.planned)
            except StoreUnavailable:
                return False

        site.wait(at_rest, "everything is settled", REST_S)

    def _document(self, site: Site, seconds: float) -> dict[str, Any]:
        killed = [s for row in self.rows if "SIGSTOP" not in row.name for s in row.take_over_s]
        return {
            "campaign": "short" if self.short else "full",
            "seed": self.seed,
            "seconds": round(seconds, 1),
            "load_average": [round(one, 2) for one in os.getloadavg()],
            "processors": os.cpu_count(),
            "lease": site.lease,
            "completions": len(site.planned),
            "heartbeats": sum(row.heartbeats for row in self.rows),
            "sigkills": site.kills,
            "take_over_s": {"n": len(killed), **{f"p{p}": percentile(killed, p) for p in (50, 90, 99, 100)}},
            "left_out": self.left_out,
            "receipts": dict(sorted(self.traced.words.items())),
            "problems": [f"{row.name}: {problem}" for row in self.rows for problem in row.problems],
            "acts": [vars(row) for row in self.rows],
        }


def percentile(values: list[float], percent: int) -> float | None:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _line(row: Row) -> str:
    found = "; ".join(row.problems) or f"lost {row.lost}, twice {row.twice}, foreign {row.foreign}, overlaps {row.overlaps}"
    return f"{row.name}: {row.injected} times, {row.completions} completions, {row.heartbeats} heartbeats: {found}"


def dump(found: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n")
