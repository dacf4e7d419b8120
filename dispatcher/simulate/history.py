"""What happened in a simulation, as it happened: the raw material of report and picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dispatcher.core.models import Batch, Outcome
from dispatcher.core.sequel import avoidable
from dispatcher.core.snapshot import Deferral


@dataclass(slots=True)
class Beat:
    """One heartbeat. `ended_ms` and `outcome` are None while it runs; `outcome` is None also when its worker was lost."""

    agent_id: str
    session_key: str
    intent: str
    batch_id: str
    attempt: int
    size: int
    started_ms: int
    ended_ms: int | None = None
    outcome: Outcome | None = None

    @property
    def word(self) -> str:
        if self.outcome is None:
            return "lost" if self.ended_ms is not None else "running"
        return self.outcome.kind

    @property
    def avoidable(self) -> str:
        return avoidable(self.outcome) if self.outcome else ""


@dataclass(slots=True)
class Delay:
    """From when until when an agent waited, and why. Looks in between that found the same are one."""

    agent_id: str
    from_ms: int
    until_ms: int
    reason: str


@dataclass(slots=True)
class History:
    """`waits` holds (agent, ms from acceptance to the start of the first turn that reached the model) for each completion."""

    arrivals: list[tuple[str, int]] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)
    waits: list[tuple[str, int]] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)
    _open: dict[tuple[str, str], Delay] = field(default_factory=dict)

    def deferred(self, agent_id: str, at_ms: int, deferrals: Sequence[Deferral]) -> None:
        """A look that ran nothing."""
        until: dict[str, int] = {}
        for deferral in deferrals:
            until[deferral.reason] = max(until.get(deferral.reason, 0), deferral.until_ms)
        for reason, until_ms in until.items():
            known = self._open.get((agent_id, reason))
            if known and known.until_ms >= at_ms:
                known.until_ms = max(known.until_ms, until_ms)
            else:
                self._open[agent_id, reason] = Delay(agent_id, at_ms, until_ms, reason)
                self.delays.append(self._open[agent_id, reason])

    def ended(self, beat: Beat, batch: Batch, at_ms: int, outcome: Outcome | None) -> None:
        """A turn came to its end, or its worker was lost (no outcome). One that was busy never reached the model."""
        beat.ended_ms, beat.outcome = at_ms, outcome
        if beat.word == "busy":
            return
        for wake in batch.wakes:
            if wake.source != "interval" and wake.wake_id not in self._told:
                self._told.add(wake.wake_id)
                self.waits.append((beat.agent_id, beat.started_ms - wake.accepted_at_ms))

    def close(self, at_ms: int) -> None:
        """The end of the simulation cuts what goes beyond it, and what turned out shorter because the agent ran earlier."""
        starts: dict[str, list[int]] = {}
        for beat in self.beats:
            starts.setdefault(beat.agent_id, []).append(beat.started_ms)
        for delay in self.delays:
            first = next((s for s in starts.get(delay.agent_id, []) if delay.from_ms < s < delay.until_ms), at_ms)
            delay.until_ms = min(delay.until_ms, first, at_ms)
