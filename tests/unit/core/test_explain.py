"""Every cause of `wake explain`: from a state to the words that a person reads."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.cause_words import AGENT_CAUSES, COMPLETION_CAUSES, Words
from dispatcher.core.explain import Around, Explanation, explain
from dispatcher.core.inspected import BatchSeen, Block, Held, Inspected
from dispatcher.core.rules import Rules
from dispatcher.core.schedule import ActiveHours
from dispatcher.core.snapshot import Deferral, Hold, Lane, Parked, Snapshot, Tick
from tests.support.sources import ROOT

# Slot time is an hour ahead of the wall here: an answer in the wrong one is seen.
REAL = int(datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp() * 1000)
NOW = REAL + 3_600_000
MAIN = "agent:ops:main"
WORKER = "worker.agents.vm.7.ab"
RULES = Rules()
SERVED = Around(known=True, routers=1, workers=1, holder_present=True, inbox=0, caused=0)
HELD = Held(WORKER, 8, NOW + 20_000, "ops-8")


def lane(intent: str = "event", *, due: int = NOW - 100, at: int = NOW - 12_000) -> Lane:
    return Lane(intent, MAIN, due, 3, at, 1, 0)


def batch(*, not_before: int = 0, failures: int = 0, deferred: str = "", errors: tuple[str, ...] = ()) -> BatchSeen:
    return BatchSeen("ops-8", MAIN, 3, 2, failures, NOW - 5_000, not_before, deferred, errors)


def seen(*lanes: Lane, **more: Any) -> Inspected:
    """An agent with these lanes. `starts`, `tick`, `holds`, `spent`, `depth` and `parked_at` go into its snapshot."""
    inside = {name: more.pop(name) for name in ("tick", "holds", "spent", "depth") if name in more}
    starts, parked = more.pop("starts", ()), more.pop("parked", ())
    frozen = tuple(Parked(p.batch_id, MAIN, p.not_before_ms, p.created_ms, "event", None, 1, p.failures, 1, False) for p in parked)
    snapshot = Snapshot(NOW, 9, starts, lanes, frozen, REAL, NOW - 100, **inside)
    waiting = sum(found.waiting for found in lanes) + sum(found.size for found in parked)
    oldest = min([found.oldest_at_ms for found in lanes], default=0)
    return Inspected("ops", "agents", snapshot, parked=tuple(parked), **({"waiting": waiting, "oldest_at_ms": oldest} | more))


def told(cause: str, of: Inspected, around: Around = SERVED, rules: Rules = RULES, records: Any = ()) -> Explanation:
    """The explanation, which names this cause and leaves no name unfilled."""
    found = explain(of, around, rules, records)
    assert found.cause == cause, found
    assert not re.search(r"[{}]|None|\ba while\b", f"{found.says} {found.follows} {found.change}"), found
    return found


def deferred(reason: str, *ages_ms: int) -> list[dict[str, Any]]:
    return [{"what": "deferred", "at": NOW - age, "batch": "", "detail": [["event", NOW, reason]]} for age in ages_ms]


def test_running() -> None:
    began = [{"what": "begun", "at": NOW - at, "batch": "ops-8", "detail": {}} for at in (60_000, 3_000)]
    found = told("running", seen(held=HELD, running=batch()), records=began)
    assert found.says == f"a heartbeat has been running for 3 s: batch ops-8, attempt 2, completions: 3, on {WORKER}"
    assert (found.since_ms, found.until_ms, found.waiting, found.oldest_age_ms) == (REAL - 3_000, None, 0, None)
    assert found.follows == "when it ends, what came meanwhile becomes the next one"


def test_a_live_worker_decides() -> None:
    found = told("lease-live", seen(lane(), held=HELD._replace(batch_id="")))
    assert found.says == f"{WORKER} holds the agent and decides what to do"
    assert "at the latest in 20 s" in found.follows
    assert found.until_ms == REAL + 20_000


def test_a_dead_worker_held_it() -> None:
    found = told("lease-dead", seen(held=HELD, running=batch()), SERVED._replace(holder_present=False))
    assert found.says == f"{WORKER} held the agent and is gone; batch: ops-8"
    assert "another worker of pool agents takes over at once, at the latest in 20 s" in found.follows
    alone = told("no-worker", seen(held=HELD, running=batch()), SERVED._replace(holder_present=False, workers=0))
    assert alone.also == ("lease-dead",)


def test_no_worker_of_its_pool() -> None:
    """It is the blocker, whatever else there is; the rest is told as well."""
    found = told("no-worker", seen(lane(), starts=(NOW - 1_000,)), SERVED._replace(workers=0))
    assert (found.says, found.change) == ("no worker serves pool agents", "start one: `wake worker --pool agents`, or `wake up`")
    assert found.also == ("min-spacing",)
    assert told("no-worker", seen(tick=Tick(REAL - 1, "x")), SERVED._replace(workers=0)).waiting == 0, "a tick is due"
    assert explain(seen(), SERVED._replace(workers=0), RULES).cause == "nothing-waiting", "nobody is needed for nothing"


def test_nothing_waiting() -> None:
    found = told("nothing-waiting", seen())
    assert (found.says, found.next_tick_ms) == ("nothing waits", None)
    assert found.follows == "it sleeps until something comes; next tick: none, it has no cadence"
    ticking = Rules(interval_ms=1_800_000, phase_ms=(REAL + 60_000) % 1_800_000)
    found = told("nothing-waiting", seen(), rules=ticking)
    assert found.follows == "it sleeps until something comes; next tick: in 1 min"
    assert found.next_tick_ms == REAL + 60_000


def test_dead_lettered() -> None:
    found = told("dead-lettered", seen(dead=4))
    assert found.says == "nothing waits, and some of its completions are dead letters: 4"
    assert explain(seen(lane(), dead=4), SERVED, RULES).cause == "due"


def test_the_inbox_is_not_routed() -> None:
    found = told("no-router", seen(), SERVED._replace(routers=0, inbox=7))
    assert found.says == "completions in the inbox: 7, and no router runs that would find their owners"
    assert found.also == ("nothing-waiting",)
    assert told("not-routed", seen(), SERVED._replace(inbox=7)).says.startswith("completions in the inbox: 7, not routed yet")
    assert explain(seen(lane()), SERVED._replace(routers=0, inbox=7), RULES).also == ("no-router",)


def test_paused() -> None:
    hold = Hold("lab-*", "paused", "deploy", "ann@vm", REAL - 60_000, 0)
    found = told("paused", seen(lane(), lane("manual"), holds=(hold,)))
    assert found.says == "paused by ann@vm with lab-* 1 min ago: deploy"
    assert found.follows == "everything waits, manual wakes too, until somebody resumes it; then one heartbeat has all of it"
    assert found.change == "`wake resume lab-*`"
    assert (found.since_ms, found.until_ms, found.waiting, found.oldest_age_ms) == (REAL - 60_000, None, 6, 12_000)
    ending = told("paused", seen(holds=(hold._replace(until_ms=REAL + 5_000),)))
    assert "until it ends by itself in 5 s" in ending.follows
    assert (ending.until_ms, ending.also) == (REAL + 5_000, ("nothing-waiting",))
    assert explain(seen(lane(), holds=(hold._replace(until_ms=REAL),)), SERVED, RULES).cause == "due", "it ended by itself"


def test_draining() -> None:
    """Before a pause that stands as well."""
    holds = (Hold("ops", "paused", "x", "ann@vm", REAL, 0), Hold("pool:agents", "draining", "moves", "bob@vm", REAL - 1_000, 0))
    found = told("draining", seen(lane(), holds=holds))
    assert found.says == "drained by bob@vm with pool:agents 1 s ago: moves"
    assert "dead letters `drained`, until somebody resumes it; a heartbeat that runs may finish" in found.follows


def test_disabled_and_unknown() -> None:
    off = Rules(enabled=False)
    assert told("agent-disabled", seen(lane()), rules=off).says == "the configuration disables it"
    gone = told("unknown-agent", seen(lane()), SERVED._replace(known=False), off)
    assert (gone.says, gone.change) == ("the configuration does not know it", "a table [agents.ops] in wake.toml")
    assert "kept for 7 days" in gone.follows


def test_quiet_hours() -> None:
    found = told("quiet-hours", seen(lane()), rules=Rules(hours=ActiveHours.parse("14:30", "18:00", "UTC")))
    assert found.says == "outside its active hours, 14:30-18:00 UTC"
    assert found.follows == "one heartbeat with everything that waits, in 2 h 30 min"
    assert found.until_ms == REAL + 9_000_000


def test_min_spacing() -> None:
    found = told("min-spacing", seen(lane(), starts=(NOW - 18_000,)), records=deferred("min-spacing", 40_000, 9_000, 4_000))
    assert found.says == "less than 30 s since the start of its last heartbeat"
    assert found.follows == "one heartbeat with everything that waits, in 12 s"
    assert (found.since_ms, found.until_ms) == (REAL - 40_000, REAL + 12_000)


def test_since_when_is_the_first_of_the_deferrals_that_nothing_interrupted() -> None:
    flood, spacing = deferred("flood", 50_000), deferred("min-spacing", 9_000, 4_000)
    assert told("min-spacing", seen(lane(), starts=(NOW - 18_000,)), records=flood + spacing).since_ms == REAL - 9_000
    held = [{"what": "held", "at": NOW - 5_000, "batch": "", "detail": {}}]
    assert told("min-spacing", seen(lane(), starts=(NOW - 18_000,)), records=spacing + held).since_ms == REAL - 9_000
    assert told("min-spacing", seen(lane(), starts=(NOW - 18_000,))).since_ms == REAL - 12_000, "as long as the oldest waits"


def test_flood() -> None:
    found = told("flood", seen(lane(), starts=tuple(NOW - at for at in (50_000, 40_000, 30_000, 20_000, 10_000))))
    assert found.says == "heartbeats started within 1 min: 5 or more, the flood guard is closed"
    assert (found.follows, found.until_ms) == ("it opens in 10 s", REAL + 10_001)


def test_budget() -> None:
    spent = ((NOW // 3_600_000, 4),)
    found = told("budget", seen(lane(), spent=spent), rules=Rules(budget_per_hour=4, budget_per_day=100))
    assert found.says == "its budget is spent: 4 in an hour, 100 in 24 hours"
    assert found.follows == "the next heartbeat in 1 h"
    aside = told("setting-aside", seen(lane(), spent=spent), rules=Rules(budget_per_hour=4, bury_over_budget=True))
    assert aside.says == "a batch or a session of it is to become dead letters: budget"


def test_cap_and_release() -> None:
    """Only the last question for a place says so; it holds until the next one."""
    capped = Rules(all_cap=20, pool_cap=4)
    found = told("cap", seen(lane(), deferrals=(Deferral("event", NOW + 2_000, "cap"),)), rules=capped)
    assert found.says == "as many heartbeats run as there may: 20 everywhere, 4 in pool agents"
    assert found.follows.startswith("it asks again in 2 s")
    assert explain(seen(lane(), deferrals=(Deferral("event", NOW, "cap"),)), SERVED, capped).cause == "due"
    late = seen(lane(), deferrals=(Deferral("event", NOW + 2_000, "release"),))
    late = late._replace(snapshot=late.snapshot._replace(due_ms=NOW - 100_000))
    assert "start at 2.5 a second in a pool" in told("release", late, rules=Rules(release_per_s=2.5)).says


def test_lineage() -> None:
    """With the depth, and how many completions a heartbeat of this agent causes."""
    deep = seen(lane("deep"), starts=(NOW - 1_000,), depth=4, heartbeats=8)
    found = told("lineage", deep, SERVED._replace(caused=10), Rules(max_lineage_depth=3, lineage_spacing_ms=600_000))
    assert found.says == "its heartbeats wake one another: this chain is 4 deep, 3 are free; caused per heartbeat: 1.25"
    assert found.follows == "the chain goes on in 9 min 59 s; the pause doubles with each step, up to an hour"
    assert found.caused_per_heartbeat == 1.25


def test_busy() -> None:
    block = Block(MAIN, "", NOW + 1_000, NOW + 4_000, "requests-in-flight")
    found = told("busy", seen(waiting=2, oldest_at_ms=NOW - 9_000, blocks=(block,)))
    assert (found.says, found.follows) == (f"its session {MAIN} is busy: requests-in-flight", "it is tried again in 4 s")
    assert told("busy", seen(lane(due=NOW + 60_000))).until_ms == REAL + 60_000, "of its wakes alone"
    assert told("busy", seen(parked=(batch(not_before=NOW + 1_000),))).says.endswith("is busy: a retry met it")
    over = Block(MAIN, "", NOW, NOW, "requests-in-flight")
    assert explain(seen(waiting=2, blocks=(over,)), SERVED, RULES).cause == "due"


def test_retry() -> None:
    failed = [{"what": "failed", "at": NOW - 700, "batch": "ops-8", "detail": {}}]
    found = told("retry", seen(parked=(batch(not_before=NOW + 8_000, failures=2, errors=("boom",)),)), records=failed)
    assert found.says == "the last attempt of batch ops-8 failed, failures: 2 of 5: boom"
    assert (found.follows, found.since_ms, found.waiting) == ("the same batch again in 8 s", REAL - 700, 3)
    held_back = batch(not_before=NOW + 8_000, failures=2, deferred="flood")
    assert told("flood", seen(parked=(held_back,))).until_ms == REAL + 8_000, "its backoff is over, the guard holds it back"


def test_no_room_for_dead_letters() -> None:
    found = told("dead-letters-full", seen(parked=(batch(not_before=NOW + 8_000, deferred="dead-letters-full"),)))
    assert found.says == "it is to become dead letters, and there is no room for more"


def test_window_and_riders() -> None:
    found = told("window", seen(lane(due=NOW + 200, at=NOW - 50)))
    assert (found.follows, found.oldest_age_ms) == ("one heartbeat with everything that waits, in 200 ms", 50)
    riding = told("rider", seen(lane("rider", due=NOW + 7_200_000)))
    assert "or go alone in 2 h" in riding.follows
    assert explain(seen(lane("rider", due=NOW + 7_200_000), lane(due=NOW + 200)), SERVED, RULES).cause == "window", "the first to end"


def test_due() -> None:
    found = told("due", seen(lane()))
    assert (found.says, found.follows) == ("it is due, nothing holds it back", "the next free worker of pool agents runs it")
    assert found.since_ms == REAL - 100
    assert explain(seen(tick=Tick(REAL - 1, "x")), SERVED, Rules(interval_ms=60_000)).cause == "due", "a tick"


def test_every_cause_is_tested_here() -> None:
    """But the server's: whoever explains has reached it."""
    tested = re.findall(r'told\("([\w-]+)"', Path(__file__).read_text("utf-8"))
    assert set(AGENT_CAUSES) - set(tested) == {"server-down"}


@pytest.mark.parametrize("words", [AGENT_CAUSES, COMPLETION_CAUSES])
def test_the_document_shows_these_words_and_no_others(words: dict[str, Words]) -> None:
    text = (ROOT / "docs" / "explain.md").read_text("utf-8")
    rows = [f"| `{cause}` | {' | '.join(said)} |" for cause, said in words.items()]
    head = "| cause | what a person reads | what follows by itself | what would change it |\n|---|---|---|---|\n"
    assert head + "\n".join(rows) + "\n\n" in text
