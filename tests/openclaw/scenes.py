"""What is shown with the real gateway. Each scene returns one row of figures, or fails."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from tests.openclaw.gateway import AGENTS, Gateway
from tests.openclaw.model import Asked, Model
from tests.support.gates import wait_until
from tests.support.gateway import Gateway as Dispatcher

PATIENCE_S = 900.0  # a gateway and its execs on two busy cores
RESULT = re.compile(r"result-([a-z]+)-(\d+)")


@dataclass(frozen=True)
class Stage:
    """The real gateway, its model, and our own processes."""

    model: Model
    gateway: Gateway
    dispatcher: Dispatcher


@dataclass(frozen=True)
class Row:
    """What was tried, and what was seen."""

    tried: str
    seen: str


def ours(model: Model, since: int = 0) -> list[Asked]:
    """The turns that we caused, from the first of that number on."""
    return [asked for asked in model.asked[since:] if "background command(s) of yours have ended" in asked.last_user]


def told(asked: list[Asked], name: str) -> set[int]:
    return {int(number) for one in asked for found, number in RESULT.findall(one.last_user) if found == name}


def run_execs(stage: Stage, agent: str, name: str, count: int, command: str = "sleep 20") -> int:
    """Lets the agent start so many background execs in one turn. Returns how often the model had been asked before."""
    since = len(stage.model.asked)
    stage.model.plays = {
        f"please run {name}": [{"command": f"{command}; echo result-{name}-{n}", "background": True} for n in range(count)]
    }
    assert stage.gateway.ask(agent, f"please run {name}")["completion"]["status"] == "ok"
    return since


def all_told(stage: Stage, since: int, name: str, count: int) -> list[Asked]:
    """Waits until every result stood in a prompt, and until nothing is under way. Returns the turns that brought them."""
    expected = set(range(count))
    wait_until(lambda: told(ours(stage.model, since), name) >= expected, PATIENCE_S, f"{count} results of {name} in prompts", every_s=0.5)
    stage.dispatcher.quiet(PATIENCE_S)
    return ours(stage.model, since)


def burst(stage: Stage, count: int = 50) -> Row:
    """Many execs of one agent end together."""
    since = run_execs(stage, "ops", "burst", count)
    turns = all_told(stage, since, "burst", count)
    others = sum(beat_agent != "ops" for beat_agent in _agents_woken(stage))
    assert others == 0
    assert len(turns) <= 3, f"{len(turns)} turns for {count} execs"
    return Row(
        f"{count} background execs of one of {len(AGENTS)} agents", f"{len(turns)} turn(s), {count} of {count} results; others 0 turns"
    )


def late(stage: Stage, wait_s: float = 40.0) -> Row:
    """One exec ends long after the last turn, which is when the gateway alone lets it wait for its next tick."""
    since = run_execs(stage, "build", "late", 1, command=f"sleep {wait_s:g}; date +ended-%s.%N")
    (turn,) = all_told(stage, since, "late", 1)
    found = re.search(r"ended-(\d+\.\d+)", turn.last_user)
    assert found
    parts = _parts(stage.dispatcher, "build", float(found[1]), turn.at_s)
    return Row(
        f"a completion {wait_s:g} s after a turn", f"{parts} (asked without us, right afterwards: {_straight_s(stage, 'build'):.1f} s)"
    )


def _straight_s(stage: Stage, agent: str) -> float:
    """From a request that goes straight to the gateway until it asks the model: what no dispatcher can make faster."""
    began_s = time.time()
    stage.gateway.ask(agent, "please say nothing")
    return stage.model.turns_with("please say nothing")[0].at_s - began_s


def _parts(dispatcher: Dispatcher, agent: str, ended_s: float, asked_s: float) -> str:
    """Where the time went between the end of an agent's only command and the question to the model; all clocks are this machine's."""
    ledger = dispatcher.store.ledger
    (completion,) = dispatcher.store.client.hkeys(dispatcher.store.keys.agent("agents", agent)["fates"])
    where = ledger.where(completion)
    assert where
    assert where.accepted_at_ms
    accepted_s = where.accepted_at_ms / 1000
    marks = [(record["what"], record["at"] / 1000) for record in ledger.records(agent) if record["what"] in ("begun", "busy")]
    begun = [at_s for what, at_s in marks if what == "begun" and at_s < asked_s]
    busy = len(begun) - 1
    waited = f", {begun[-1] - begun[0]:.1f} s until the gateway was no longer busy ({busy} answer(s) of that kind)" if busy else ""
    return (
        f"model asked {asked_s - ended_s:.1f} s after the command's end: {accepted_s - ended_s:.1f} s until the report was accepted, "
        f"{begun[0] - accepted_s:.1f} s until the gateway was asked{waited}, {asked_s - begun[-1]:.1f} s until it asked the model"
    )


def worker_killed(stage: Stage) -> Row:
    """SIGKILL of worker and router while the model thinks; both start again."""
    since = run_execs(stage, "data", "killed", 5, command="sleep 5")
    stage.model.hold.clear()
    wait_until(lambda: ours(stage.model, since), PATIENCE_S, "a turn began", every_s=0.2)
    for worker in stage.dispatcher.workers:
        if worker.alive:
            worker.kill()
    stage.dispatcher.start_router()
    stage.dispatcher.start_worker()
    stage.model.hold.set()
    turns = all_told(stage, since, "killed", 5)
    return Row("SIGKILL of our worker and our router in mid-turn", f"5 of 5 results, {len(turns)} turn(s)")


def gateway_killed(stage: Stage) -> Row:
    """SIGKILL of the gateway while the model thinks; it starts again on the same state."""
    since = run_execs(stage, "lab", "gone", 5, command="sleep 5")
    stage.model.hold.clear()
    wait_until(lambda: ours(stage.model, since), PATIENCE_S, "a turn began", every_s=0.2)
    stage.gateway.kill()
    stage.model.hold.set()
    began = time.monotonic()
    stage.gateway.start()
    turns = all_told(stage, since, "gone", 5)
    seconds = time.monotonic() - began
    return Row("SIGKILL of the gateway in mid-turn", f"5 of 5 results, {len(turns)} turn(s) begun, {seconds:.0f} s after it was started")


def _agents_woken(stage: Stage) -> set[str]:
    return {agent for agent in AGENTS if "begun" in stage.dispatcher.records(agent)}


SCENES = (burst, late, worker_killed, gateway_killed)
