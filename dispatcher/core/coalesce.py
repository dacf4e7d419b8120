"""Many wakes, one heartbeat: a frozen batch becomes the request that a runner sees.

Every id of the batch is in `completion_ids`, since settling settles them all; what does not fit is counted, never hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.core.exec_text import clean
from dispatcher.core.lineage import deepest
from dispatcher.core.models import Batch, Event, HeartbeatRequest, Intent, Source, Wake

MAX_EVENTS = 50
MAX_EVENTS_BYTES = 64 * 1024
MAX_TEXT_BYTES = 1_000
ESCAPED = '\n\t"\\'  # what a JSON string writes in two bytes; a cleaned text has no other control character

_URGENCY = tuple(Intent)  # most urgent first


def coalesce(batch: Batch, token: int, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_EVENTS_BYTES) -> HeartbeatRequest:
    """The request for this batch under this token. Pure: the same batch gives the same request but for its token.

    `trace` is that of the newest completion that has one.

    Failures are shown before successes and newer ones before older ones; what is shown stands oldest first. `max_bytes` bounds the
    events as JSON: output goes first to failures, then to successes, shared evenly, of each the end. `truncated` says that anything
    of this batch was left out or cut.
    """
    shown = _shown(batch.wakes, max_events)
    events, cut = _events(batch, shown, max_bytes)
    left_out = [wake for place, wake in enumerate(batch.wakes) if place not in events and not _is_tick(wake)]
    reason, intent, source = merged(batch.wakes)
    return HeartbeatRequest(
        agent_id=batch.address.agent_id,
        session_key=batch.address.session_key,
        batch_id=batch.batch_id,
        attempt=batch.attempt,
        token=token,
        reason=clean(reason),
        intent=intent,
        source=source,
        completion_ids=tuple(wake.wake_id for wake in batch.wakes),
        events=tuple(events[place] for place in sorted(events)),
        digest=digest(left_out),
        truncated=cut or bool(left_out),
        trace=next((wake.trace for wake in reversed(batch.wakes) if wake.trace), None),
        lineage=deepest(batch.wakes),
    )


def priority(wake: Wake) -> int:
    """Whose reason a merged wake carries: manual and immediate 3, most 2, the cadence 1, a retry 0."""
    if wake.intent in (Intent.MANUAL, Intent.IMMEDIATE):
        return 3
    if wake.source is Source.RETRY:
        return 0
    return 1 if wake.intent is Intent.SCHEDULED or wake.source is Source.INTERVAL else 2


def merged(wakes: Sequence[Wake]) -> tuple[str, Intent, Source]:
    """(reason, intent, source) of wakes that stand oldest first: reason and source of the highest priority, the newer on a tie; the
    intent of the most urgent. Raises ValueError for none."""
    if not wakes:
        raise ValueError("merge wakes: there is none; a batch has at least one")
    winner = max(reversed(wakes), key=priority)
    return winner.reason, min((wake.intent for wake in wakes), key=_URGENCY.index), winner.source


def digest(left_out: Sequence[Wake]) -> str | None:
    """`37 more: 30 ok, 7 failed`, or None when nothing was left out. Any exit code but 0 is not ok."""
    if not left_out:
        return None
    failed = sum(map(_went_wrong, left_out))
    return f"{len(left_out)} more: {len(left_out) - failed} ok, {failed} failed"


def _is_tick(wake: Wake) -> bool:
    """A tick of the cadence tells nothing but that it is time; it is no event and nothing is left out with it."""
    return wake.source is Source.INTERVAL and wake.intent is Intent.SCHEDULED and not (wake.text or _went_wrong(wake))


def _went_wrong(wake: Wake) -> bool:
    return wake.failed or wake.timed_out or bool(wake.signal) or bool(wake.exit_code)


def _shown(wakes: Sequence[Wake], limit: int) -> list[int]:
    """Places of the wakes to show, the most important first."""
    newest_first = [place for place in range(len(wakes) - 1, -1, -1) if not _is_tick(wakes[place])]
    return sorted(newest_first, key=lambda place: not _went_wrong(wakes[place]))[: max(limit, 0)]


def _events(batch: Batch, shown: Sequence[int], max_bytes: int) -> tuple[dict[int, Event], bool]:
    """Events by place, and whether anything in them was cut. First come the lines without output, as many as fit."""
    events: dict[int, Event] = {}
    cut, room_bytes = False, max_bytes - len("[]")
    for place in shown:
        event, shortened = _bare(batch.wakes[place])
        size_bytes = len(event.model_dump_json().encode()) + len(",")
        if size_bytes > room_bytes:
            break
        events[place], room_bytes, cut = event, room_bytes - size_bytes, cut or shortened
    outputs = {place: clean(batch.outputs.get(batch.wakes[place].wake_id, "")) for place in events}
    for wrong in (True, False):
        group = [place for place in events if _went_wrong(batch.wakes[place]) is wrong]
        group.sort(key=lambda place: len(outputs[place]))  # shortest first: what it spares serves the longer
        for done, place in enumerate(group):
            output, used_bytes = _json_tail(outputs[place], room_bytes // (len(group) - done))
            events[place] = events[place].model_copy(update={"output": output})
            room_bytes, cut = room_bytes - used_bytes, cut or len(output) < len(outputs[place])
    return events, cut


def _bare(wake: Wake) -> tuple[Event, bool]:
    text = clean(wake.text)
    head = _json_tail(text[::-1], MAX_TEXT_BYTES)[0][::-1]
    event = Event(
        completion_id=wake.wake_id,
        text=head,
        exit_code=wake.exit_code,
        signal=clean(wake.signal) if wake.signal else None,
        timed_out=wake.timed_out,
        finished_at=wake.finished_at,
    )
    return event, len(head) < len(text)


def _json_tail(text: str, max_bytes: int) -> tuple[str, int]:
    """The longest end of a cleaned text that takes at most so many bytes inside a JSON string, and how many it takes."""
    whole_bytes = len(text.encode()) + sum(map(text.count, ESCAPED))
    if whole_bytes <= max_bytes:
        return text, whole_bytes
    used_bytes = 0
    for taken, char in enumerate(reversed(text)):
        size_bytes = 2 if char in ESCAPED else len(char.encode())
        if used_bytes + size_bytes > max_bytes:
            return text[len(text) - taken :], used_bytes
        used_bytes += size_bytes
    return text, used_bytes
