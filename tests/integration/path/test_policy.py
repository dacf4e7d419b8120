"""What the policy adds to the path, with real workers: prechecks, caps, quiet ones, quiet hours, budgets."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from dispatcher.core.rules import BUDGET, CAP, QUIET_HOURS
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.sources import ROOT
from tests.support.store import deposit

ASKED = "asked"


def precheck(*lines: str) -> dict[str, Any]:
    """A command in Python; it notes that it was asked, in the folder of wake.toml."""
    script = "\n".join(["import json, signal, sys", "request = json.load(sys.stdin)", f"open({ASKED!r}, 'a').write('x')", *lines])
    return {"type": "command", "command": [sys.executable, "-I", "-S", "-c", script]}


def served(gateway: Gateway, workers: int = 1, **tables: dict[str, Any]) -> Gateway:
    gateway.configure(**tables)
    gateway.start_router()
    for _ in range(workers):
        gateway.start_worker()
    gateway.ready()
    return gateway


def counter(gateway: Gateway, name: str, agent_id: str = "ops") -> int:
    keys = gateway.store.keys.agent("agents", agent_id)
    return int(gateway.store.client.hget(keys["counters"], name) or 0)


def last_of(gateway: Gateway, what: str, agent_id: str = "ops") -> dict[str, Any]:
    return [record for record in gateway.store.ledger.records(agent_id) if record["what"] == what][-1]


def deposit_as(gateway: Gateway, completion_id: str, lane: str) -> None:
    """What a router does with a completion, as a wake of this intent; the sweep finds it."""
    gateway.submit(completion_id)
    store = gateway.store
    (entry,) = store.inbox.claim("r1", 10).entries
    assert store.mailbox.deposit_all([deposit(entry, lane)])[0].status == "DEPOSITED"
    store.inbox.acknowledge([(entry, "ops", "session-key")])


def test_a_precheck_command_sees_the_request_and_settles_what_is_not_needed(gateway: Gateway) -> None:
    """Exit 10 skips with its last line as the reason and counts as avoidable; exit 0 lets the heartbeat run; any other exit, too."""
    answers = precheck(
        "events = request['completion_ids']",
        "if 'spare' in events: print('nothing', 'new'); sys.exit(10)",
        "if 'broken' in events: sys.exit(1)",
    )
    served(gateway, defaults={"precheck": answers})
    gateway.submit("spare")
    gateway.quiet(settled=1)
    assert gateway.beats() == []
    skipped = last_of(gateway, "skipped")
    assert skipped["detail"]["reason"] == "precheck: nothing new"
    gateway.submit("needed")
    gateway.quiet(settled=2)
    gateway.submit("broken")
    gateway.quiet(settled=3)
    assert [beat.ids for beat in gateway.beats()] == [("needed",), ("broken",)]
    assert (gateway.folder / ASKED).read_text() == "xxx"
    assert [counter(gateway, name) for name in ("avoidable:precheck", "heartbeats:skipped", "heartbeats:ran")] == [1, 1, 2]


def test_a_precheck_that_takes_too_long_says_nothing(gateway: Gateway) -> None:
    """The heartbeat runs, with the whole of its own time."""
    served(gateway, defaults={"precheck": precheck("signal.pause()"), "precheck_limit_s": 0.5})
    gateway.submit("c1")
    gateway.quiet(settled=1)
    assert [beat.ids for beat in gateway.beats()] == [("c1",)]
    assert (gateway.folder / ASKED).read_text() == "x"


def test_a_precheck_callable_answers_in_the_worker(gateway: Gateway) -> None:
    """False and `Skipped` skip; None, True and whatever it raises let the heartbeat run."""
    (gateway.folder / "prechecks.py").write_text(
        "from dispatcher.core.models import Skipped\n"
        "def needed(request):\n"
        "    word = request.completion_ids[0].split('-')[0]\n"
        "    if word == 'broken': raise RuntimeError(word)\n"
        "    return {'no': False, 'skip': Skipped(reason='all quiet'), 'yes': True}.get(word)\n"
    )
    gateway.configure(defaults={"precheck": {"type": "python", "target": "prechecks:needed"}})
    gateway.start_router()
    gateway.start("worker", "--pool", "agents", env={"PYTHONPATH": f"{ROOT}:{gateway.folder}"})
    gateway.ready()
    for n, word in enumerate(("no", "skip", "yes", "none", "broken"), 1):
        gateway.submit(f"{word}-1")
        gateway.quiet(settled=n)
    assert [beat.ids for beat in gateway.beats()] == [("yes-1",), ("none-1",), ("broken-1",)]
    reasons = [record["detail"]["reason"] for record in gateway.store.ledger.records("ops") if record["what"] == "skipped"]
    assert reasons == ["precheck: not needed", "precheck: all quiet"]
    assert counter(gateway, "avoidable:precheck") == 2


def test_a_cap_of_one_lets_agents_on_two_workers_run_one_after_the_other(gateway: Gateway) -> None:
    """Whoever waits is deferred with the reason, and its lease is free; nothing is lost."""
    gateway.plan(seconds=0.3)
    served(gateway, workers=2, caps={"max_running": 1}, agents={"ops": {}, "lab": {}})
    for n in range(2):
        for agent in ("ops", "lab"):
            gateway.submit(f"{agent}-{n}", session=f"agent:{agent}:main")
        gateway.started(n + 1, "ops")
        gateway.started(n + 1, "lab")
    gateway.quiet(settled=4)
    beats = gateway.beats()
    assert {beat.agent_id for beat in beats} == {"ops", "lab"}
    for earlier, later in pairwise(beats):
        assert earlier.ended is not None
        assert earlier.ended <= later.started, f"two at once: {earlier} and {later}"
    records = [record for agent in ("ops", "lab") for record in gateway.store.ledger.records(agent) if record["what"] == "deferred"]
    assert {reason for record in records for _, _, reason in record["detail"]} == {CAP}
    keys = gateway.store.keys.caps("agents")
    wait_until(lambda: not gateway.store.client.exists(keys["running"]), PATIENCE_S, "every place is left")


def test_who_hears_of_what_is_a_matter_of_notify(gateway: Gateway) -> None:
    """Each agent as it is set; what nobody hears of is suppressed, in the books, and not lost."""
    modes = ("output", "always", "failures", "never")
    served(gateway, agents={mode: {"notify": mode} for mode in modes})
    for mode in modes:
        session = f"agent:{mode}:main"
        gateway.submit(f"{mode}.quiet", session=session, exit_code=0)
        gateway.submit(f"{mode}.loud", session=session, exit_code=0, output="done")
        gateway.submit(f"{mode}.bad", session=session, exit_code=2)
        gateway.submit(f"{mode}.off", session=session, cancelled=True, signal="TERM")
    gateway.quiet(accepted=16, settled=6, suppressed=10)
    heard = {mode: {i.partition(".")[2] for beat in gateway.beats(mode) for i in beat.ids} for mode in modes}
    assert heard == {"output": {"loud", "bad"}, "always": {"quiet", "loud", "bad"}, "failures": {"bad"}, "never": set()}
    where = gateway.store.ledger.where("never.bad")
    assert where
    assert (where.fate, where.detail) == ("suppressed", "notify-never")


def test_quiet_hours_hold_an_event_and_let_a_person_through(gateway: Gateway) -> None:
    """The event is deferred to the opening; the manual turn of its session takes it along."""
    now = datetime.now(UTC)
    start, end = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (6, 7))
    gateway.configure(defaults={"active_hours": {"start": start, "end": end, "timezone": "UTC"}})
    gateway.store.inbox.prepare()
    gateway.start_worker()
    gateway.ready()
    deposit_as(gateway, "c1", "event")
    wait_until(lambda: "deferred" in gateway.records(), PATIENCE_S, "the event is deferred")
    (kind, until_ms, reason) = last_of(gateway, "deferred")["detail"][0]
    assert (kind, reason) == ("event", QUIET_HOURS)
    opening = now.timestamp() * 1000 + 6 * 3_600_000
    assert abs(until_ms - opening) < 120_000
    assert gateway.beats() == []
    deposit_as(gateway, "p1", "manual")
    gateway.quiet(settled=2)
    assert sorted(gateway.beats()[0].ids) == ["c1", "p1"]


def test_what_is_over_its_budget_becomes_dead_letters_where_that_is_set(gateway: Gateway) -> None:
    """Visible and revivable; what is set aside costs no heartbeat. The other agent waits for the next hour."""
    served(gateway, defaults={"budget_per_day": 1}, agents={"ops": {"over_budget": "dead-letter"}, "lab": {}})
    for agent in ("ops", "lab"):
        gateway.submit(f"{agent}-1", session=f"agent:{agent}:main")
    gateway.quiet(settled=2)
    for agent in ("ops", "lab"):
        gateway.submit(f"{agent}-2", session=f"agent:{agent}:main")
    wait_until(lambda: gateway.store.ledger.balance().dead == 1, PATIENCE_S, "one is a dead letter")
    wait_until(lambda: "deferred" in gateway.records("lab"), PATIENCE_S, "the other is deferred")
    (letter,) = gateway.store.ledger.dead_letters()
    assert (letter.completion_id, letter.reason, letter.agent_id) == ("ops-2", BUDGET, "ops")
    assert last_of(gateway, "deferred", "lab")["detail"][0][2] == BUDGET
    assert len(gateway.beats()) == 2
    assert counter(gateway, "dead:budget") == 1
