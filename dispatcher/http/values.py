"""What the ingress answers with, as models: the document is made from them."""

from __future__ import annotations

from pydantic import Field

from dispatcher.core.models import Fate, Value


class Problem(Value):
    """Problem details as RFC 9457 has them. `type` ends with a word that programs may rely on."""

    type: str
    title: str
    status: int
    detail: str
    completion_id: str | None = Field(None, description="The id that was meant, made up or given: repeat the request with it.")


class Accepted(Value):
    """A completion that is durable. `duplicate`: it was accepted before, and this is the first answer."""

    completion_id: str
    accepted_at_ms: int
    duplicate: bool


class WakeAccepted(Value):
    """A wake that is durable. `duplicate`: it was accepted before, and this is the first answer."""

    wake_id: str
    accepted_at_ms: int
    duplicate: bool


class BatchItem(Value):
    """What became of one completion of a batch, with the status that it would have had alone."""

    status: int
    accepted: Accepted | None = None
    problem: Problem | None = None


class BatchAnswer(Value):
    """One result for each completion of the batch, in its order."""

    results: tuple[BatchItem, ...]


class FateAnswer(Value):
    """Where a completion or a wake is. `final`: it stays so, but for a dead letter that is revived."""

    completion_id: str
    fate: Fate
    final: bool
    agent_id: str | None = None
    via: str | None = None
    accepted_at_ms: int | None = None
    at_ms: int | None = None
    detail: str = ""


class Health(Value):
    """The answer of a probe."""

    status: str
