"""What a multi-step vector may expect of the runs it caused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.conformance.vector import Check, equals


@dataclass
class Run:
    """One heartbeat: `started` and `ended` in virtual ms, `ended` None while it hangs."""

    started: int
    agent: str
    session: str
    reason: str
    intent: str
    source: str
    ended: int | None = None


def checks(runs: Sequence[Run], retried: bool, next_allowed: int | None) -> dict[str, Check]:
    """A check for each known expectation."""
    reasons, agents = [run.reason for run in runs], [run.agent for run in runs]

    def names(wanted: Sequence[str], among: Sequence[Run]) -> bool:
        return wanted == [run.reason for run in among] or wanted == [run.agent for run in among]

    return {
        "run_count": equals(len(runs)),
        "run_count_at_least": lambda wanted: len(runs) >= wanted,
        "counts": lambda wanted: all(sum(run.started <= count["at"] for run in runs) == count["n"] for count in wanted),
        "calls": lambda wanted: len(wanted) == len(runs) and all(_fits(run, call) for run, call in zip(runs, wanted, strict=True)),
        "unordered_calls": lambda wanted: len(wanted) == len(runs) and all(any(_fits(run, call) for run in runs) for call in wanted),
        "order": lambda wanted: wanted == reasons,
        "started": lambda wanted: Counter(wanted) in (Counter(reasons), Counter(agents)),
        "started_before_finish": lambda wanted: names(wanted, _before_first_end(runs)),
        "overlap": equals(_overlap(runs)),
        "intents_in_order": lambda wanted: wanted == [run.intent for run in runs],
        "last_reason": equals(reasons[-1] if reasons else None),
        "retried": equals(retried),
        "ran_at_or_after": lambda wanted: any(run.started >= wanted for run in runs),
        "next_allowed": equals(next_allowed),
    }


def _fits(run: Run, call: str | Mapping[str, Any]) -> bool:
    if isinstance(call, str):
        return call in (run.reason, run.agent)
    known = asdict(run) | {"at": run.started}
    return bool(call) and all(name in known and known[name] == value for name, value in call.items())


def _before_first_end(runs: Sequence[Run]) -> list[Run]:
    """The runs that started before one that had hung came to its end."""
    ends = [run.ended for run in runs if run.ended is not None and run.ended > run.started]
    first = min(ends, default=None)
    hung = next((run for run in runs if run.ended == first and run.ended != run.started), None) if first is not None else None
    if hung is None:
        return list(runs)
    return [run for run in runs if run.started < first or run is hung] if first is not None else list(runs)


def _overlap(runs: Sequence[Run]) -> bool:
    """Whether two runs of one agent were under way at once."""
    for place, run in enumerate(runs):
        for other in runs[place + 1 :]:
            if other.agent == run.agent and (run.ended is None or other.started < run.ended):
                return True
    return False
