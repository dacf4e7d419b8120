"""W1 to W3: the same work for this program and its peers, turn and turn about."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.ground import NO_GUARDS, Ground
from bench.peers.environments import CELERY_PLAIN, PEERS, SLOTS, Peer, missing

Figures = dict[str, Any]
S = 1e9
BURST, TURN_S = 2_000, 0.1
AGENTS, EACH = 1_000, 5
SINGLES = 100
PATIENCE_S, W2_LIMIT_S = 60.0, 40.0
SLOW_S = 30.0  # a contestant that takes so long for a workload does it once


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def w1(peer: Peer) -> Figures:
    """One agent, 2 000 completions, a heartbeat takes 100 ms."""
    limit_s = PATIENCE_S if peer.coalesces else BURST * TURN_S / SLOTS * 2 + PATIENCE_S
    with Ground(turn_s=TURN_S) as ground:
        ground.start_peer(peer)
        sent = ground.submit(peer, agents=1, each=BURST)
        complete = ground.notes.wait(BURST + 1, limit_s)
        turns = [turn for turn in ground.notes.turns if turn.agent != "warm"]
        ids = [one for turn in turns for one in turn.ids]
        return {
            "complete": complete,
            "heartbeats": len(turns),
            "twice": len(ids) - len(set(ids)),
            "overlaps": overlaps(turns),
            "after_first_s": (turns[-1].ended - sent.started) / S,
            "after_last_s": (max(turn.ended for turn in turns) - sent.ended) / S,
        }


def w2(peer: Peer) -> Figures:
    """1 000 agents, 5 completions each, interleaved; a heartbeat does nothing."""
    with Ground() as ground:
        ground.start_peer(peer)
        sent = ground.submit(peer, agents=AGENTS, each=EACH)
        complete = ground.notes.wait(AGENTS * EACH + 1, W2_LIMIT_S)
        turns = [turn for turn in ground.notes.turns if turn.agent != "warm"]
        took_s = (max(turn.ended for turn in turns) - sent.started) / S
        done = len({one for turn in turns for one in turn.ids})
        figures = {"complete": complete, "heartbeats": len(turns), "overlaps": overlaps(turns), "per_second": done / took_s}
        return figures | {"submitted_per_second": AGENTS * EACH * S / (sent.ended - sent.started)}


def w3(peer: Peer) -> Figures:
    """Idle, one completion at a time, no window, no guards: from the call to the start of its heartbeat, in ms."""
    with Ground(defaults=f"{NO_GUARDS}\nwindow_ms = 0") as ground:
        ground.env["BENCH_WINDOW_S"] = "0"
        ground.start_peer(peer)
        sent = ground.submit(peer, agents=20, each=SINGLES // 20, paced=True)
        ground.notes.read()
        started = {one: turn.started for turn in ground.notes.turns for one in turn.ids}
        waits = [(started[name] - at) / 1e6 for name, at in sent.sent.items() if name in started]
        shares = {f"p{share}_ms": percentile(waits, share / 100) for share in (50, 95, 99)}
        return {"complete": len(waits) == len(sent.sent)} | shares


def overlaps(turns: list[Any]) -> int:
    """Heartbeats that began while another one of their agent ran."""
    ends: dict[str, int] = {}
    count = 0
    for turn in sorted(turns):
        count += turn.started < ends.get(turn.agent, 0)
        ends[turn.agent] = max(turn.ended, ends.get(turn.agent, 0))
    return count


RACES: dict[str, Callable[[Peer], Figures]] = {"w1": w1, "w2": w2, "w3": w3}


def race(names: list[str], rounds: int, until: float, say: Callable[[str], object]) -> Figures:
    """All rounds of these workloads, interleaved: each contestant once, then each again. No round begins after `until` (monotonic)."""
    skipped = {peer.name: why for peer in PEERS if (why := missing(peer))}
    for name, why in skipped.items():
        say(f"skipped: {name}: {why}")
    found: Figures = {name: {} for name in names}
    slow: set[tuple[str, str]] = set()
    for turn in range(rounds):
        for name in names:
            for peer in PEERS:
                if peer.name in skipped or (name == "w3" and peer.batch) or (name == "w1" and turn and not peer.coalesces):
                    continue
                if (name, peer.name) in slow:
                    continue
                if turn and time.monotonic() > until:
                    say(f"{name} {peer.name}: no time for round {turn + 1}")
                    continue
                started = time.monotonic()
                try:
                    figures = RACES[name](peer)
                except (RuntimeError, OSError, ValueError) as error:
                    figures = {"complete": False, "error": str(error)[-300:]}
                if time.monotonic() - started > SLOW_S:
                    slow.add((name, peer.name))
                say(f"{name} {peer.name}: {figures}")
                found[name].setdefault(peer.name, []).append(figures)
    return {"skipped": skipped, "rounds": found}


def middle(rounds: list[Figures], what: str) -> float | None:
    """The median over the rounds that have this figure."""
    values = [one[what] for one in rounds if what in one]
    return median(values) if values else None


__all__ = ["CELERY_PLAIN", "RACES", "middle", "percentile", "race"]
