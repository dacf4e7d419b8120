"""What an agent behind a chat gateway reads at a heartbeat: results of its commands, as text that cannot pass for an instruction.

The text depends on the batch alone, not on attempt or token: a gateway knows a repeated request by its content too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dispatcher.core.exec_text import clean
from dispatcher.core.models import Event, HeartbeatRequest

PLACES = re.compile(r"\{(agent_id|session_key|batch_id|count|events)\}")
OUTPUT_CHARS = (None, 4000, 1000, 200, 0)  # of each event, until the message fits


def message(template: str, request: HeartbeatRequest, max_bytes: int) -> str:
    """The template with its places filled, in at most `max_bytes` as UTF-8 as long as the template itself leaves room for a line.

    What does not fit goes in this order: output from its beginning, then the oldest events; how many are missing is said.
    """
    room_bytes = max_bytes - len(_filled(template, request, "").encode())
    return _filled(template, request, _fitting(request, room_bytes))


def _filled(template: str, request: HeartbeatRequest, events: str) -> str:
    values = {
        "agent_id": request.agent_id,
        "session_key": request.session_key,
        "batch_id": request.batch_id,
        "count": str(len(request.completion_ids)),
        "events": events,
    }
    # In one pass: what stands in an output is never a place.
    return PLACES.sub(lambda place: values[place[1]], template)


def _fitting(request: HeartbeatRequest, room_bytes: int) -> str:
    for output_chars in OUTPUT_CHARS:
        lines = _lines(request.events, request.digest, output_chars)
        if len(lines.encode()) <= room_bytes:
            return lines
    shown = request.events
    while shown:
        shown = shown[len(shown) // 2 + 1 :]
        more = f"{len(request.completion_ids) - len(shown)} more are not shown"
        if len((lines := _lines(shown, more, 0)).encode()) <= room_bytes:
            return lines
    return ""


def _lines(events: Sequence[Event], more: str | None, output_chars: int | None) -> str:
    """Every line of a command's stands behind a mark, so that none can look like the end of the list or like ours."""
    found = []
    for event in events:
        first, *rest = clean(event.text).splitlines() or [""]
        output = clean(event.output)
        cut = output if output_chars is None else output[len(output) - min(output_chars, len(output)) :]
        found += [f"- {first}", *(f"  | {line}" for line in rest), *(f"  | {line}" for line in cut.splitlines())]
    return "\n".join([*found, *([f"- and {more}"] if more else [])])
