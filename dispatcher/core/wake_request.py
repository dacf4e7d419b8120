"""A wake that somebody asks for: no command ended, and one agent is to have a turn all the same. Travels as a completion does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from dispatcher.core.exec_text import clean
from dispatcher.core.lineage import lineage_of
from dispatcher.core.models import (
    SCHEMA_VERSION,
    CompletionId,
    IngressToken,
    Intent,
    RawSessionKey,
    ShortText,
    Source,
    Trace,
    Wake,
    Whole,
    tail_of,
    well_formed,
)

MAX_TEXT_CHARS = 16 * 1024
LINE_CHARS = 400


def _no_cadence(intent: Intent) -> Intent:
    if intent is Intent.SCHEDULED:
        raise ValueError("scheduled belongs to the cadence; use manual, immediate, event or task")
    return intent


class WakeRequest(BaseModel):
    """One wake for one agent. Its id is in the space of the completions' ids; unknown fields are kept, as theirs are."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)

    kind: Literal["wake"] = "wake"
    v: Whole = Field(SCHEMA_VERSION, ge=1)
    wake_id: CompletionId
    session_key: RawSessionKey = ""
    agent_id: ShortText | None = None
    source: Annotated[Source, Field(strict=False)] = Source.MANUAL
    intent: Annotated[Intent, Field(strict=False), AfterValidator(_no_cadence)] = Intent.MANUAL
    reason: ShortText = ""
    text: Annotated[str, BeforeValidator(well_formed), StringConstraints(max_length=MAX_TEXT_CHARS)] = ""
    lineage: dict[str, Any] | None = None
    trace: Trace | None = None
    token: IngressToken = None

    @property
    def completion_id(self) -> str:
        """Its id under the name that every id has from the inbox on."""
        return self.wake_id


def requested_wake(request: WakeRequest, *, via: str, accepted_at_ms: int) -> Wake:
    """The wake that a routed request becomes: its first words as the line that is always shown, the whole text beside it."""
    return Wake(
        wake_id=request.wake_id,
        source=request.source,
        intent=request.intent,
        reason=clean(request.reason).strip() or request.source.value,
        text=_line(request),
        key=request.session_key,
        via=via,
        trace=request.trace,
        lineage=lineage_of(request),
        accepted_at_ms=accepted_at_ms,
    )


def requested_output(request: WakeRequest, max_bytes: int) -> str:
    """The text that does not fit in the wake's line; empty when the line says all."""
    text = clean(request.text).strip()
    return "" if text == _line(request) else tail_of(text, max_bytes)


def _line(request: WakeRequest) -> str:
    text = " ".join(clean(request.text).split()) or " ".join(clean(request.reason).split()) or f"Wake requested ({request.source.value})"
    return text if len(text) <= LINE_CHARS else text[: LINE_CHARS - 1] + "…"
