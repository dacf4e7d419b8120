"""`make bench`: what its page says follows from the figures, also where they are bad, missing or of a failed round."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.growing import Step, highest
from bench.peers import environments
from bench.report import page, pictures, write
from bench.targets import BATCH, lines

W4 = {"kills": 4, "lost": 0, "overlaps": 0, "seconds": [0.7, 0.9, 0.8, 1.1], "p50_s": 0.9, "p99_s": 1.1}
GOOD: dict[str, Any] = {
    "command": "python -m bench",
    "commit": "abc1234",
    "processors": 2,
    "load_before": 0.1,
    "load_average": [1.0, 1.0, 1.0],
    "seconds": 700.0,
    "rates": {
        "celery": [1_000.0, 900.0, 1_100.0],
        "delay": [2_000.0],
        "batch": [20_000.0],
        "routed": [3_000.0],
        "bare": [10_000.0],
        "celery_tasks": [800.0],
        "celery_tasks_per_cpu_s": [1_000.0],
        "routed_per_cpu_s": [15_000.0],
        "rung_per_cpu_s": [15_000.0],
    },
    "races": {
        "skipped": {"bullmq": "this machine has no node"},
        "rounds": {
            "w1": {
                "wake": [{"complete": True, "heartbeats": 3, "twice": 0, "after_first_s": 0.9, "after_last_s": 0.6}],
                BATCH: [{"complete": True, "heartbeats": 3, "twice": 0, "after_first_s": 0.6, "after_last_s": 0.4}],
            },
            "w2": {
                "wake": [{"complete": True, "per_second": 900.0}],
                BATCH: [{"complete": True, "per_second": 900.0}],
                "celery": [{"complete": True, "per_second": 300.0}],
            },
            "w3": {
                "wake": [{"complete": True, "p50_ms": 8.0, "p99_ms": 16.0}],
                "celery": [{"complete": True, "p50_ms": 4.0, "p99_ms": 8.0}],
            },
        },
    },
    "w4": W4,
    "w5": [
        {"agents": 1_000, "bytes_per_agent": 200.0, "worker_cpu_percent": 1.0, "ready_s": 2.0, "worker_rss_mib": 80.0},
        {"agents": 100_000, "bytes_per_agent": 150.0, "worker_cpu_percent": 1.5, "ready_s": 3.0, "worker_rss_mib": 90.0},
    ],
    "w6": [{"agents": 10, "workers": 1, "seconds": 5.0, "per_second": 100.0, "bound": "late", "steps": []}],
    "w7": [
        {"backlog": size, "agents": size, "first": {"router_us": 100.0, "server_us": 100.0}, "last": {"router_us": us, "server_us": 100.0}}
        for size, us in ((1_000, 100.0), (100_000, 130.0))
    ],
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The good figures with one of them changed."""
    found = deepcopy(GOOD)
    place = found
    for word in path[:-1]:
        place = place[word]
    place[path[-1]] = to
    return found


def missed(found: dict[str, Any]) -> list[str]:
    return [line.what for line in lines(found) if line.reached is False]


def test_what_is_just_met_is_reached() -> None:
    assert missed(GOOD) == []
    assert all(line.reached for line in lines(GOOD))


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("races", "rounds", "w1", "wake", 0, "heartbeats"), 4, "W1: heartbeats"),
        (("races", "rounds", "w1", "wake", 0, "twice"), 1, "W1: ids missing"),
        (("races", "rounds", "w1", "wake", 0, "complete"), False, "W1: ids missing"),
        (("races", "rounds", "w1", "wake", 0, "after_last_s"), 0.66, "W1: s from the last"),
        (("races", "rounds", "w1", BATCH, 0, "heartbeats"), 4, "W1 in `batch()`: heartbeats"),
        (("races", "rounds", "w1", BATCH, 0, "twice"), 1, "W1: ids missing"),
        (("races", "rounds", "w1", BATCH, 0, "after_first_s"), 0.66, "W1 in `batch()`: s from the first"),
        (("rates", "delay"), [1_999.0], "`.delay()` against"),
        (("rates", "batch"), [19_999.0], "`.delay()` in `batch()`"),
        (("rates", "routed_per_cpu_s"), [14_999.0], "routed against Celery's tasks"),
        (("rates", "rung_per_cpu_s"), [14_999.0], "the same with a doorbell"),
        (("rates", "bare"), [10_001.0], "routed against the steps"),
        (("races", "rounds", "w2", "wake", 0, "per_second"), 899.0, "W2: "),
        (("races", "rounds", "w2", BATCH, 0, "per_second"), 899.0, "W2 in"),
        (("races", "rounds", "w3", "wake", 0, "p50_ms"), 8.1, "W3: p50"),
        (("races", "rounds", "w3", "celery", 0, "p99_ms"), 7.9, "W3: p99"),
        (("w4", "p99_s"), 1.51, "W4: s until"),
        (("w4", "lost"), 1, "W4: lost"),
        (("w4", "overlaps"), 1, "W4: overlaps"),
        (("w5", 0, "bytes_per_agent"), 301.0, "W5: bytes"),
        (("w5", 1, "worker_cpu_percent"), 2.1, "W5: % of a core"),
        (("w5", 1, "ready_s"), 11.0, "W5: s until"),
        (("w5", 1, "worker_rss_mib"), 97.0, "W5: RSS"),
        (("w7", 1, "last", "router_us"), 141.0, "W7"),
    ],
)
def test_each_target_can_be_missed(path: tuple[Any, ...], value: Any, word: str) -> None:
    found = changed(*path, to=value)
    (only,) = missed(found)
    assert only.startswith(word)
    assert "**not reached**" in page(found)
    assert "**not reached**" not in page(GOOD)


def test_what_was_not_measured_is_not_reached_either() -> None:
    """Nor is it where a round of ours failed: the others' median would hide it."""
    bare = {name: GOOD[name] for name in ("command", "commit", "processors", "load_before", "load_average", "seconds")}
    assert {line.reached for line in lines(bare)} == {None}
    assert "not measured" in page(bare)
    grown = changed("w7", 1, "agents", to=1_000)  # no time was left for many agents
    assert [line.reached for line in lines(grown) if line.what.startswith("W7")] == [None]
    failed = changed("races", "rounds", "w2", "wake", to=[{"complete": True, "per_second": 900.0}, {"complete": False, "error": "no"}])
    assert [line.reached for line in lines(failed) if line.what.startswith("W2:")] == [None]


def test_the_page_names_command_load_and_who_was_skipped() -> None:
    text = page(GOOD)
    assert "`python -m bench`, 700 s on 2 processors; the program at abc1234." in text
    assert "Load average 0.1 before it" in text
    assert "Skipped: bullmq: this machine has no node" in text
    assert "Other work ran" in page(GOOD | {"load_before": 1.1})


def test_every_picture_of_the_page_is_written_and_none_of_another_run_stays(tmp_path: Path) -> None:
    (tmp_path / "speed_w9.svg").write_text("<svg/>")
    write(GOOD, tmp_path)
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    assert drawn == {f"speed_{name}.svg" for name in ("w1", "w2", "w3", "w4", "w5", "w6", "w7")}
    assert all(f"({name})" in (tmp_path / "speed.md").read_text() for name in drawn)
    for text in pictures(GOOD).values():
        ET.fromstring(text)
    assert pictures(GOOD)["w4"].count(" V ") == W4["kills"]


@pytest.mark.parametrize("limit", [30.0, 100.0, 4_000.0])
def test_the_highest_rate_is_found_to_a_tenth(limit: float) -> None:
    good, bound, steps = highest(lambda rate: Step(rate, rate, 500.0 if rate <= limit else 5_000.0))
    assert limit / 1.1 <= good <= limit
    assert bound == "late"
    assert len(steps) < 20


def test_a_rate_that_cannot_be_sent_is_no_limit_of_ours_and_a_first_one_too_high_is_none() -> None:
    good, bound, _ = highest(lambda rate: Step(rate, min(rate, 300.0), 500.0))
    assert (good, bound) == (300.0, "sender")
    assert highest(lambda rate: Step(rate, rate, 1_001.0))[:2] == (0.0, "late")


def test_a_rate_that_was_late_once_is_tried_again() -> None:
    seen: list[float] = []

    def attempt(rate: float) -> Step:
        seen.append(rate)
        return Step(rate, rate, 5_000.0 if rate > 400 or (rate == 160 and seen.count(160) == 1) else 500.0)

    good, bound, steps = highest(attempt)
    assert (400 / 1.1 < good <= 400, bound, [step.rate for step in steps]) == (True, "late", seen)


def test_a_peer_whose_tools_are_missing_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environments, "PLACE", tmp_path)
    (bullmq,) = (peer for peer in environments.PEERS if peer.node)
    assert environments.missing(bullmq) == "this machine has no node and no npm"
    assert environments.missing(environments.WAKE) is None
