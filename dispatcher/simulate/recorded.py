"""What really arrived, from a store, as a plan: to ask what another policy would have made of it. Reads only.

The store keeps who got a completion, and when it was accepted, for the dedupe time; session and turns as long as its ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from dispatcher.config import Config
from dispatcher.core.errors import NothingRecorded
from dispatcher.core.models import Outcome, Ran, Skipped
from dispatcher.core.session_key import parse
from dispatcher.heartbeat import Started
from dispatcher.simulate.arrivals import Arrival
from dispatcher.simulate.course import Plan
from dispatcher.simulate.engine import Turn, Turns
from dispatcher.simulate.turns import DEFAULT, limited
from dispatcher.store.opened import Store
from dispatcher.store.records import LedgerLine, Seen, ledger_lines, seen_since

History = dict[str, list[tuple[int, Outcome]]]


def recorded_plan(store: Store, since_ms: int) -> Plan:
    """What was accepted since then and had an owner, quiet ones left out, with the turns that there were. Raises NothingRecorded."""
    now_ms = store.ledger.now_ms()
    seen, found = seen_since(store, since_ms), ledger_lines(store, since_ms)
    sessions = {line.batch_id: line.detail.get("session", "") for line in found if line.what == "begun"}
    arrivals = sorted((_arrival(one, sessions) for one in seen if one.stage != "suppressed"), key=lambda arrival: arrival.at_ms)
    if not arrivals:
        raise NothingRecorded(
            "simulate: the store knows of no completion since then that woke an agent; name an earlier time, or a --scenario"
        )
    turns = _turns(found)
    agents = tuple(sorted({arrival.agent_id for arrival in arrivals} | set(turns)))
    start_ms = min(since_ms, arrivals[0].at_ms)
    return Plan(agents, start_ms, max(1_000, now_ms - start_ms), arrivals, partial(_replayed, turns), everybody=True)


def _arrival(seen: Seen, sessions: dict[str, str]) -> Arrival:
    parsed = parse(sessions.get(seen.batch_id, ""))
    return Arrival(seen.at_ms, seen.agent_id, parsed.rest if parsed else "main")


def _turns(found: Sequence[LedgerLine]) -> History:
    """(duration, outcome) of each turn by agent, in order. How a turn went that was busy, failed or lost says nothing of another policy."""
    begun: dict[tuple[str, str], int] = {}
    turns: History = defaultdict(list)
    for line in found:
        where = (line.agent_id, line.batch_id)
        if line.what == "begun":
            begun[where] = line.at_ms
        elif line.what in ("ran", "skipped") and where in begun:
            turns[line.agent_id].append((line.at_ms - begun.pop(where), _outcome(line)))
    return turns


def _outcome(line: LedgerLine) -> Outcome:
    if line.what == "skipped":
        return Skipped(reason=str(line.detail.get("reason", "other")))
    return Ran(acted=bool(line.detail.get("acted", True)))


def _replayed(turns: History, config: Config) -> Turns:
    """Each agent's own turns again and again in their order; for one that had none, all of them."""
    pool = [turn for own in turns.values() for turn in own] or [(20_000, DEFAULT.answers[0])]
    places: defaultdict[str, int] = defaultdict(int)

    def turn(started: Started) -> Turn:
        agent_id = started.lease.agent_id
        own = turns.get(agent_id) or pool
        duration_ms, outcome = own[places[agent_id] % len(own)]
        places[agent_id] += 1
        return limited(duration_ms, outcome, config, agent_id)

    return turn
