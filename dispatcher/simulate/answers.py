"""How a turn ends, as a scenario writes it: `ran`, `not-acted`, `skipped: nothing new`, `busy: active-run`, `failed: why` and so on."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from dispatcher.core.durations import parse_duration_ms
from dispatcher.core.models import Busy, Failed, Outcome, Ran, Skipped

FORMS = "ran, not-acted, skipped: WHY, busy: REASON (or busy: REASON, 5s), failed: WHY or refused: WHY"


def outcome_of(text: object) -> object:
    """The outcome that these words mean. Raises ValueError with the forms there are."""
    if not isinstance(text, str):
        return text
    word, _, rest = (part.strip() for part in text.partition(":"))
    match word:
        case "ran" | "not-acted" if not rest:
            return Ran(acted=word == "ran")
        case "skipped":
            return Skipped(reason=rest or "nothing to do")
        case "busy":
            reason, _, asked = (part.strip() for part in rest.partition(","))
            if re.fullmatch(r"[a-z][a-z-]*|", reason):
                return Busy(reason=reason or "requests-in-flight", retry_after_ms=parse_duration_ms(asked) if asked else None)
        case "failed" | "refused":
            return Failed(error=rest or word, final=word == "refused")
    raise ValueError(f"{text[:80]!r} is no answer; write {FORMS}")


Answer = Annotated[Outcome, BeforeValidator(outcome_of)]
