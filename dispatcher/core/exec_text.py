"""The words in which an agent hears of a finished exec. Everything that came out of a command is untrusted: cleaned and bounded."""

from __future__ import annotations

import re

from dispatcher.core.lineage import lineage_of
from dispatcher.core.models import ExecCompletion, Intent, Source, Wake

EXEC_REASON = "exec-event"
TAIL_CHARS = 400
SNIPPET_CHARS = 180
RUN_ID_CHARS = 80

_NOT_EXECUTED = frozenset({126, 127})  # what a shell answers when the command could not be run at all
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC: to its end or its line end
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_END = re.compile("\r\n|[\r\u2028\u2029]")
# Beside the control characters: lone surrogates, direction overrides, and the invisible tags that smuggle instructions to a model.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


def clean(text: str) -> str:
    """The text without escape sequences and control characters; line feeds and tabs stay, other line ends become line feeds."""
    if text.isascii() and text.isprintable():  # most are: there is nothing to take away
        return text
    return _UNWANTED.sub("", _LINE_END.sub("\n", _ESCAPE.sub("", text)))


def has_failed(completion: ExecCompletion) -> bool:
    """Whether the text says "failed": not executable, not found, timed out or killed. Another exit code is "completed" with its code."""
    return completion.timed_out or bool(completion.signal) or completion.exit_code in _NOT_EXECUTED


def quiet_reason(completion: ExecCompletion, notify: str) -> str | None:
    """Why nobody needs to hear of it, or None. Quiet ones are suppressed, not lost.

    `notify`: "output" keeps quiet about a success, or a manual cancel, without output; "always" about a cancel without output only;
    "failures" about every exit 0 and every cancel; "never" about all.
    """
    if notify == "never":
        return "notify-never"
    if clean(completion.output).strip() and notify != "failures":
        return None
    if completion.cancelled:
        return "cancelled"
    if completion.exit_code != 0 or has_failed(completion) or notify == "always":
        return None
    return "success" if notify == "failures" else "empty-success"


def exec_text(completion: ExecCompletion) -> str:
    """`Exec completed|failed (<first 8 of id>, code N | signal NAME[, run <id>])[ :: <snippet>]`, one line."""
    facts = [completion.completion_id[:8], _exit_label(completion)]
    run = _one_line(completion.run_id or "")
    if run:
        facts.append(f"run {_head(run, RUN_ID_CHARS)}")
    snippet = _head(_one_line(_tail(clean(completion.output).rstrip(), TAIL_CHARS)), SNIPPET_CHARS)
    head = f"Exec {'failed' if has_failed(completion) else 'completed'} ({', '.join(facts)})"
    return f"{head} :: {snippet}" if snippet else head


def exec_wake(completion: ExecCompletion, *, via: str, accepted_at_ms: int) -> Wake:
    """The wake that a routed completion becomes. Its output travels beside it."""
    return Wake(
        wake_id=completion.completion_id,
        source=Source.EXEC_EVENT,
        intent=Intent.EVENT,
        reason=EXEC_REASON,
        text=exec_text(completion),
        failed=has_failed(completion),
        exit_code=completion.exit_code,
        signal=completion.signal,
        timed_out=completion.timed_out,
        finished_at=completion.finished_at.isoformat() if completion.finished_at else None,
        key=completion.session_key,
        via=via,
        trace=completion.trace,
        lineage=lineage_of(completion),
        accepted_at_ms=accepted_at_ms,
    )


def _exit_label(completion: ExecCompletion) -> str:
    signal = _one_line(completion.signal or "")
    if signal:
        return f"signal {signal}"
    if completion.exit_code is not None:
        return f"code {completion.exit_code}"
    return "timeout" if completion.timed_out else "unknown exit code"


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


# Lengths count UTF-16 units, as the gateways do whose users know these texts; a character is never cut in two.
def _tail(text: str, units: int) -> str:
    return text.encode("utf-16-le")[-2 * units :].decode("utf-16-le", "ignore")


def _head(text: str, units: int) -> str:
    raw = text.encode("utf-16-le")
    return text if len(raw) <= 2 * units else raw[: 2 * units - 2].decode("utf-16-le", "ignore") + "…"
