"""The one exception tree. Every message names the operation, the agent (where there is one) and the remedy."""

from __future__ import annotations


class WakeError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(WakeError):
    """The configuration is unusable. `problems` holds every fault found, each naming its key; `source` is the file, if one was read."""

    def __init__(self, problems: list[str], source: str | None = None) -> None:
        self.problems = problems
        self.source = source
        super().__init__(f"configuration {source + ' ' if source else ''}is not usable:\n" + "\n".join(f"  {p}" for p in problems))


class EmbeddedServerError(WakeError):
    """The embedded server cannot be started or stopped. The message names the data folder and the remedy."""


class InvalidCompletion(WakeError):
    """A completion was refused at the edge; nothing was written. The remedy stands in the message."""


class InvalidAddress(WakeError):
    """A session key, an agent id or a pair of them names no single agent. `reason` is a dead letter reason."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class IdConflict(InvalidCompletion):
    """The completion id is known with another session key or payload; it is no duplicate. Nothing was written."""


class TokenRefused(WakeError):
    """A token is not valid: not ours, expired, or signed with a key that is not known. The message never repeats it."""


class Forbidden(WakeError):
    """A valid token does not cover the agent that would be woken, or does not allow wakes."""


class InboxFull(WakeError):
    """The inbox is at its bound; nothing was written. Try again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class BatchIncomplete(WakeError):
    """Some completions of a `batch()` were neither accepted nor kept: `refused`, id -> why. All others of it stand."""

    def __init__(self, total: int, refused: dict[str, str]) -> None:
        self.refused = refused
        first, why = next(iter(refused.items()))
        super().__init__(f"batch: {len(refused)} of {total} completions were not accepted, the others stand; completion={first}: {why}")


class StoreUnavailable(WakeError):
    """The server did not answer, or answered that it cannot serve. What happened to the call is unknown unless said."""


class LayoutMismatch(WakeError):
    """The store was created with another layout, slot count or prefix; this process must not touch it."""


class ScriptContractError(WakeError):
    """A Lua step was called with wrong keys or arguments, or answered a word that it does not declare: a bug."""


class UnknownCompletion(WakeError):
    """No completion of this id is known: it was never accepted, or its retention is over."""


class NotSettled(WakeError):
    """The completion ended without a heartbeat: dead letter or dropped. A dead letter can be revived."""


class NothingRecorded(WakeError):
    """The store knows of nothing in the time that was asked for."""


class BackupError(WakeError):
    """A backup could not be written or taken back; what was there before is still there."""


class NotRevived(WakeError):
    """A dead letter could not be revived; the message says why and what would help."""


class NotRunning(WakeError):
    """There is no heartbeat to cancel, or another one than was seen."""


class NotHeld(WakeError):
    """There is no hold to take away; the message says by what the agent is held, if it is."""
