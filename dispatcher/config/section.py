"""What every table of wake.toml is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

DAY_MS = 86_400_000


class Section(BaseModel):
    """Base of every table in wake.toml: immutable, no coercion, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
