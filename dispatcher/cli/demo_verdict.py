"""Whether the demo went as promised: a pure function of what was planned, what heartbeats really received, and what the books say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispatcher.core import session_key as keys

SHOWN_IDS = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """One completion that was reported. `agent_id` is its owner by the plan; None: it must become a dead letter with `dead_reason`."""

    completion_id: str
    session_key: str
    agent_id: str | None
    dead_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn: `agent_id` is whose heartbeat ran, by its own configuration; the rest is what the request on its standard input said."""

    agent_id: str
    request_agent: str
    session_key: str
    batch_id: str
    attempt: int
    completion_ids: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """Everything that the verdict rests on. `trouble` is what went wrong on the way, `overlaps` counts turns that met another one."""

    planned: Sequence[Planned]
    heard: Sequence[Heard]
    fates: Mapping[str, str]
    dead: Mapping[str, str]
    books: Mapping[str, int]
    overlaps: int = 0
    trouble: Sequence[str] = ()


@dataclass
class AgentTally:
    """What one agent received."""

    completions: int = 0
    heartbeats: int = 0
    foreign: int = 0


@dataclass(frozen=True)
class Verdict:
    """`ok` exactly when there are no problems."""

    problems: Sequence[str]
    agents: Mapping[str, AgentTally]
    foreign: Sequence[str]
    lost: Sequence[str]
    repeated: Sequence[str]
    dead: Sequence[Planned]
    books: Mapping[str, int]
    planned: int
    overlaps: int
    further_attempts: int

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def heartbeats(self) -> int:
        return sum(tally.heartbeats for tally in self.agents.values())

    @property
    def completions(self) -> int:
        """Completions that reached a heartbeat."""
        return sum(tally.completions for tally in self.agents.values())

    @property
    def ratio(self) -> float:
        """Completions per heartbeat."""
        return self.completions / self.heartbeats if self.heartbeats else 0.0

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "problems": list(self.problems),
            "completions": self.planned,
            "heartbeats": self.heartbeats,
            "coalescing_ratio": round(self.ratio, 1),
            "foreign_wakes": len(self.foreign),
            "lost": list(self.lost),
            "repeated": list(self.repeated),
            "further_attempts": self.further_attempts,
            "overlapping_heartbeats": self.overlaps,
            "agents": {
                name: {"completions": t.completions, "heartbeats": t.heartbeats, "foreign": t.foreign} for name, t in self.agents.items()
            },
            "dead_letters": [
                {"completion_id": p.completion_id, "reason": p.dead_reason, "session_key": p.session_key, "expected": p.agent_id is None}
                for p in self.dead
            ],
            **self.books,
        }


@dataclass
class _Ears:
    """What the turns received, sorted by what it proves."""

    agents: dict[str, AgentTally]
    batches: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    by_owner: set[str] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)
    further_attempts: int = 0


def judge(evidence: Evidence, agent_ids: Sequence[str]) -> Verdict:
    """The verdict. Every problem is named; nothing is taken from what the dispatcher believes when a heartbeat's own record can tell."""
    owners = {planned.completion_id: planned.agent_id for planned in evidence.planned}
    ears = _listen(evidence.heard, owners, agent_ids)
    lost = [i for i, owner in owners.items() if owner and (i not in ears.by_owner or evidence.fates.get(i) != "settled")]
    lost += [i for i, owner in owners.items() if owner is None and i not in evidence.dead]
    repeated = [i for i, batches in ears.batches.items() if len(batches) > 1]
    problems = [*evidence.trouble]
    if ears.foreign:
        problems.append(f"foreign wakes: {_some(ears.foreign)}")
    if lost:
        problems.append(f"neither settled by its owner's heartbeat nor set aside as expected: {_some(_with_fate(lost, evidence))}")
    if repeated:
        problems.append(f"in more than one batch: {_some(repeated)}")
    if evidence.overlaps:
        problems.append(f"{evidence.overlaps} turns began while another one of the same agent ran")
    problems += _dead_letter_problems(evidence) + _book_problems(evidence)
    return Verdict(
        problems,
        ears.agents,
        ears.foreign,
        lost,
        repeated,
        _dead(evidence),
        evidence.books,
        len(evidence.planned),
        evidence.overlaps,
        ears.further_attempts,
    )


def _listen(heard: Sequence[Heard], owners: Mapping[str, str | None], agent_ids: Sequence[str]) -> _Ears:
    ears = _Ears({agent_id: AgentTally() for agent_id in agent_ids})
    seen: set[str] = set()
    for turn in heard:
        tally = ears.agents.setdefault(turn.agent_id, AgentTally())
        tally.heartbeats += 1
        again = turn.batch_id in seen
        seen.add(turn.batch_id)
        ears.further_attempts += again
        strangers = [i for i in turn.completion_ids if owners.get(i) != turn.agent_id]
        parsed = keys.parse(turn.session_key)
        if turn.request_agent != turn.agent_id or parsed is None or parsed.agent_id != turn.agent_id:
            strangers = strangers or [f"a request for {turn.request_agent} in {turn.session_key}"]
        tally.foreign += len(strangers)
        ears.foreign += [f"{turn.agent_id} got {stranger}" for stranger in strangers]
        tally.completions += 0 if again else len(turn.completion_ids)
        for completion_id in turn.completion_ids:
            ears.batches[completion_id].add(turn.batch_id)
        ears.by_owner |= set(turn.completion_ids) - set(strangers)
    return ears


def _dead(evidence: Evidence) -> list[Planned]:
    """The dead letters that there really are, with their real reasons."""
    planned = {p.completion_id: p for p in evidence.planned}
    return [
        Planned(i, planned[i].session_key if i in planned else "", planned[i].agent_id if i in planned else "?", reason)
        for i, reason in evidence.dead.items()
    ]


def _dead_letter_problems(evidence: Evidence) -> list[str]:
    expected = {p.completion_id: p.dead_reason for p in evidence.planned if p.agent_id is None}
    return [
        f"dead letter {i} has the reason {reason}, expected was {expected.get(i, 'no dead letter')}"
        for i, reason in evidence.dead.items()
        if expected.get(i) != reason
    ]


def _book_problems(evidence: Evidence) -> list[str]:
    books = evidence.books
    if not books:
        return ["the books could not be read"]
    problems = []
    if books["balance"] != 0:
        problems.append(f"the books do not balance: {books}")
    if books["accepted"] != len(evidence.planned):
        problems.append(f"{len(evidence.planned)} completions were reported and {books['accepted']} accepted")
    if waiting := books["unrouted"] + books["pending"] + books["running"]:
        problems.append(f"{waiting} completions still wait")
    return problems


def _with_fate(ids: Sequence[str], evidence: Evidence) -> list[str]:
    return [f"{i} ({evidence.fates.get(i, 'unknown')})" for i in ids]


def _some(items: Sequence[str]) -> str:
    more = len(items) - SHOWN_IDS
    return ", ".join(items[:SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")
