"""What follows from how a heartbeat went: pure functions of the outcome and the history of its batch."""

from __future__ import annotations

import re
from typing import NamedTuple

from dispatcher.core.models import Busy, Failed, Intent, Outcome, Ran, Skipped
from dispatcher.core.rules import BUSY_BLOCK_MS, BUSY_WAIT_MS, Rules

_WORD = re.compile(r"[a-z][a-z-]{0,31}")


class Settle(NamedTuple):
    """The batch is done."""

    outcome: str


class Dissolve(NamedTuple):
    """The batch goes back to pending. `block_all_ms` binds the whole target, `block_rest_ms` all but manual wakes."""

    wait_ms: int
    block_all_ms: int
    block_rest_ms: int
    reason: str


class Wait(NamedTuple):
    """Busy, but an earlier attempt of this batch may have reached the model: it stays as it is, so that a receiver can tell."""

    delay_ms: int
    reason: str


class Retry(NamedTuple):
    """The same batch again, after `delay_ms`."""

    delay_ms: int
    error: str


class Bury(NamedTuple):
    """The batch becomes dead letters."""

    reason: str
    error: str


Sequel = Settle | Dissolve | Wait | Retry | Bury


def sequel(outcome: Outcome, intent: str, attempt: int, failures: int, rules: Rules, jitter: float) -> Sequel:
    """What follows from a heartbeat's outcome. `attempt` is 1 for the first; `failures` counts those before it; `jitter` is in [0, 1)."""
    match outcome:
        case Busy():
            busy = _after_busy(outcome, intent)
            return busy if attempt <= 1 else Wait(busy.wait_ms, busy.reason)
        case Failed(final=True):
            return Bury("refused-by-runner", outcome.error)
        case Failed():
            if failures + 1 >= rules.max_failures > 0:
                return Bury("attempts-exhausted", outcome.error)
            return Retry(retry_delay_ms(failures, rules, jitter), outcome.error)
        case _:
            return Settle(outcome.kind)


def retry_delay_ms(failures: int, rules: Rules, jitter: float) -> int:
    """Doubling from the base, spread over ±20 %, never above the maximum."""
    delay = min(rules.retry_base_ms * 2 ** min(failures, 30), rules.retry_max_ms)
    return min(int(delay * (0.8 + 0.4 * jitter)), rules.retry_max_ms)


def _after_busy(outcome: Busy, intent: str) -> Dissolve:
    asked = outcome.retry_after_ms
    wait_only = outcome.reason in ("preempted", "channel-not-ready")
    patient = intent in (Intent.SCHEDULED, Intent.TASK) and outcome.reason != "cron-in-progress"
    if wait_only or patient:
        return Dissolve(BUSY_WAIT_MS if asked is None else asked, 0, 0, outcome.reason)
    return Dissolve(asked or BUSY_BLOCK_MS, BUSY_BLOCK_MS, max(asked or 0, BUSY_BLOCK_MS), outcome.reason)


def avoidable(outcome: Outcome) -> str:
    """The word under which a turn that need not have been is counted; empty for one that came to something."""
    match outcome:
        case Skipped(reason=reason):
            word = reason.partition(":")[0].strip().lower()
            return word if _WORD.fullmatch(word) else "other"
        case Ran(acted=False):
            return "not-acted"
    return ""
