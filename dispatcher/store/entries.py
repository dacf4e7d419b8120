"""What lies in the inbox, as routers read it."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ID_CHARS = 200
MAX_DIGITS = 15  # ms until the year 33658; what Lua holds exactly


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One accepted completion, claimed by this router. `body` is the producer's JSON; `deliveries` counts the claims."""

    entry: str
    completion_id: str
    revival: int
    accepted_at_ms: int
    body: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Entries that are this router's alone until `max_hold_ms` after `read_at_ms` (server time)."""

    read_at_ms: int
    entries: list[InboxEntry]


def entry_of(entry: str, deliveries: int, fields: list[str]) -> InboxEntry:
    """Whoever may append to the stream can append anything: one bad entry must not hold up those beside it."""
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    at_ms, revival = _number(named.get("at", "")), _number(named.get("revival", ""))
    return InboxEntry(
        entry,
        named.get("id", entry)[:MAX_ID_CHARS],
        revival or 0,
        entry_ms(entry) if at_ms is None else at_ms,
        named.get("body", ""),
        int(deliveries),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None


def entry_ms(entry: str) -> int:
    """When it was appended, by the server's clock."""
    return int(entry.partition("-")[0] or 0)
