"""What the figures are held against: a line for each target, reached or not, from the figures of one run only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, NamedTuple

from bench.plots import number
from bench.racing import middle

Found = dict[str, Any]
BATCH = "wake, batch()"
WINDOW_S = 0.25  # the default of window_ms
BYTES, IDLE_PERCENT, READY_S, TAKE_OVER_S, FLAT = 300.0, 2.0, 10.0, 1.5, 0.2


class Line(NamedTuple):
    """`reached` is None where the run did not measure it."""

    what: str
    wanted: str
    measured: str
    reached: bool | None


def lines(found: Found) -> list[Line]:
    """All targets, in their order."""
    return [
        most("W1: heartbeats", 3, of_race(found, "w1", "heartbeats")),
        exactly("W1: ids missing or in two heartbeats", unaccounted(found)),
        # What must follow the last call is a window and a heartbeat; how long it takes to report 2 000 has lines of its own.
        most("W1: s from the last call to the last end: window + 0.4", WINDOW_S + 0.4, of_race(found, "w1", "after_last_s")),
        most("W1 in `batch()`: heartbeats", 3, of_race(found, "w1", "heartbeats", BATCH)),
        most(
            "W1 in `batch()`: s from the first call to the last end: window + 0.4",
            WINDOW_S + 0.4,
            of_race(found, "w1", "after_first_s", BATCH),
        ),
        least("`.delay()` against Celery's publish", 2, rate(found, "delay", "celery"), " x"),
        least("`.delay()` in `batch()` against Celery's publish", 20, rate(found, "batch", "celery"), " x"),
        least("routed against Celery's tasks, per second of CPU", 15, rate(found, "routed_per_cpu_s", "celery_tasks_per_cpu_s"), " x"),
        least("the same with a doorbell for each agent", 15, rate(found, "rung_per_cpu_s", "celery_tasks_per_cpu_s"), " x"),
        least("routed against the steps packed beforehand", 0.3, rate(found, "routed", "bare"), " x"),
        least("W2: completions/s against Celery", 3, against_celery(found, "w2", "per_second"), " x"),
        least("W2 in `batch()`: the same", 3, against_celery(found, "w2", "per_second", BATCH), " x"),
        most("W3: p50 against Celery", 2, against_celery(found, "w3", "p50_ms"), " x"),
        most("W3: p99 against Celery", 2, against_celery(found, "w3", "p99_ms"), " x"),
        most("W4: s until it runs again, p99", TAKE_OVER_S, found.get("w4", {}).get("p99_s")),
        exactly("W4: lost", found.get("w4", {}).get("lost")),
        exactly("W4: overlaps", found.get("w4", {}).get("overlaps")),
        most("W5: bytes of the server per idle agent, at worst", BYTES, of_parts(found, "w5", "bytes_per_agent", max)),
        most("W5: % of a core of an idle worker, at worst", IDLE_PERCENT, of_parts(found, "w5", "worker_cpu_percent", max)),
        most("W5: s until the worker is ready, at worst", READY_S, of_parts(found, "w5", "ready_s", max)),
        most("W5: RSS with the most agents against the fewest", 1 + FLAT, rss_growth(found), " x"),
        most("W7: farthest from the middle cost of a completion", FLAT * 100, off_the_middle(found), " %"),
    ]


def most(what: str, limit: float, value: float | None, unit: str = "") -> Line:
    return Line(what, f"≤ {number(limit)}{unit}", said(value, unit), None if value is None else value <= limit)


def least(what: str, limit: float, value: float | None, unit: str = "") -> Line:
    return Line(what, f"≥ {number(limit)}{unit}", said(value, unit), None if value is None else value >= limit)


def exactly(what: str, value: float | None, wanted: float = 0) -> Line:
    return Line(what, number(wanted), said(value, ""), None if value is None else value == wanted)


def said(value: float | None, unit: str) -> str:
    return "-" if value is None else number(value) + unit


def rounds(found: Found, name: str, peer: str) -> list[Found]:
    listed: list[Found] = found.get("races", {}).get("rounds", {}).get(name, {}).get(peer, [])
    return listed


def of_race(found: Found, name: str, key: str, peer: str = "wake") -> float | None:
    """The median of all rounds. None when a round failed: what was left undone has no figure."""
    listed = rounds(found, name, peer)
    return middle(listed, key) if all(key in one for one in listed) else None


def against_celery(found: Found, name: str, key: str, peer: str = "wake") -> float | None:
    return ratio(of_race(found, name, key, peer), of_race(found, name, key, "celery"))


def unaccounted(found: Found) -> float | None:
    """Over all rounds: ids that came twice, and a 1 for each round that did not get all."""
    listed = [*rounds(found, "w1", "wake"), *rounds(found, "w1", BATCH)]
    return sum(one.get("twice", 0) + (not one.get("complete")) for one in listed) if listed else None


def rate(found: Found, name: str, base: str) -> float | None:
    """Of the medians over the rounds."""
    rates = found.get("rates", {})
    return ratio(*(median(rates[key]) if rates.get(key) else None for key in (name, base)))


def ratio(mine: float | None, base: float | None) -> float | None:
    return mine / base if mine is not None and base else None


def of_parts(found: Found, name: str, key: str, choose: Callable[[Iterable[float]], float]) -> float | None:
    parts = found.get(name)
    return choose(part[key] for part in parts) if parts else None


def rss_growth(found: Found) -> float | None:
    parts = sorted(found.get("w5", []), key=lambda part: part["agents"])
    return parts[-1]["worker_rss_mib"] / parts[0]["worker_rss_mib"] if len(parts) > 1 else None


def costs(found: Found) -> dict[str, list[float]]:
    """W7: µs of router and server for each completion, by when it was routed."""
    return {when: [part[when]["router_us"] + part[when]["server_us"] for part in found.get("w7", [])] for when in ("first", "last")}


def band(found: Found) -> tuple[float, float]:
    """W7: what counts as flat, around the median of all costs."""
    center = median(value for values in costs(found).values() for value in values)
    return center * (1 - FLAT), center * (1 + FLAT)


def off_the_middle(found: Found) -> float | None:
    """W7: the largest distance of a cost from their median, in % of it. None unless both the backlog and the agents grew."""
    parts = found.get("w7", [])
    if any(len({part[what] for part in parts}) < 2 for what in ("backlog", "agents")):
        return None
    values = [value for values in costs(found).values() for value in values]
    return max(abs(value / median(values) - 1) for value in values) * 100
