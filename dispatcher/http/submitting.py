"""Handing in over HTTP: one completion, a batch, or a wake. The answer comes after it is durable, never before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from dispatcher.core import session_key
from dispatcher.core.errors import IdConflict, InboxFull, InvalidAddress, InvalidCompletion, WakeError
from dispatcher.core.models import Receipt
from dispatcher.core.reported import Reported
from dispatcher.core.wake_request import WakeRequest
from dispatcher.http.authentication import Caller
from dispatcher.http.problems import Refused, answer, refusal_of
from dispatcher.http.values import Accepted, BatchAnswer, BatchItem, WakeAccepted
from dispatcher.store.bindings import LazyBindings
from dispatcher.store.inbox import Submission
from dispatcher.store.opened import Store
from dispatcher.submit import announce_inbox, completion_of, submission_of, wake_request_of
from dispatcher.tasks import router
from dispatcher.tokens import authorize

MEDIA_TYPE = "application/json"
Result = Receipt | WakeError


def batch_in(body: Mapping[str, Any], max_batch: int) -> list[Any] | None:
    """The completions of a batch, or None when the body is one completion. Raises Refused for a batch that is none."""
    if "completions" not in body:
        return None
    found = body["completions"]
    if set(body) != {"completions"} or not isinstance(found, list) or not 1 <= len(found) <= max_batch:
        said = f"a batch is an object with the one field completions, a list of 1 to {max_batch}; nothing was written"
        raise Refused(422, "invalid", "Not usable as it is", said)
    return found


def completion_in(words: object, caller: Caller) -> Reported:
    """Raises InvalidCompletion."""
    return _read(completion_of, words, caller)


def wake_in(words: object, caller: Caller) -> Reported:
    """Raises InvalidCompletion."""
    return _read(wake_request_of, words, caller)


def _read(read: Callable[[Mapping[str, Any]], Reported], words: object, caller: Caller) -> Reported:
    if not isinstance(words, dict):
        raise InvalidCompletion("submit: it must be an object; nothing was written")
    if "completions" in words:
        raise InvalidCompletion("submit: completions: a batch holds no batches; nothing was written")
    if "" in (words.get("completion_id"), words.get("wake_id")):
        raise InvalidCompletion("submit: its id is blank; leave it out, and it gets one; nothing was written")
    # Who asks is said in the head of the request, not in its body.
    traced = {"trace": caller.trace} if caller.trace else {}
    return read(traced | {name: value for name, value in words.items() if name != "token"}).model_copy(update={"token": caller.token})


def submit_each(store: Store, wanted: Sequence[Reported | WakeError], caller: Caller) -> list[Result]:
    """A receipt or an error for each, in order. Blocks. Raises StoreUnavailable; then it is unknown what was written.

    What has no owner is accepted: it becomes a dead letter with its reason, which an operator can bind and revive.
    """
    results: list[Result | None] = [item if isinstance(item, WakeError) else None for item in wanted]
    bindings = LazyBindings(store.bindings)
    entries: dict[int, Submission] = {}
    for place, item in enumerate(wanted):
        if isinstance(item, WakeError):
            continue
        try:
            _authorize(item, caller, bindings)
            entries[place] = submission_of(item)
        except WakeError as error:
            if not isinstance(error, InvalidCompletion) and refusal_of(error).problem.status != 403:
                raise
            results[place] = error
    announce = False
    answers = store.inbox.submit_each(list(entries.values())) if entries else []
    for place, found in zip(entries, answers, strict=True):
        if isinstance(found, IdConflict | InboxFull):
            results[place] = found
        else:
            results[place], announce = found[0], announce or found[1]
    if announce:
        announce_inbox()
    return [result for result in results if result is not None]


def _authorize(item: Reported, caller: Caller, bindings: LazyBindings) -> None:
    """Raises Forbidden for an owner that the token does not cover. The router asks again: a binding may change in between."""
    if caller.grant is None:
        return
    try:
        owner: str | None = router().resolve(item.session_key, item.agent_id, bindings).address.agent_id
    except InvalidAddress:
        owner = _named(item)
    if owner is None:
        return
    authorize(caller.grant, owner, wake=isinstance(item, WakeRequest), what=f"submit {item.completion_id}")


def _named(item: Reported) -> str | None:
    """The agent that is named by what has no owner yet: one that is not configured, or disabled, and may be revived some day."""
    parsed = session_key.parse(item.session_key)
    named = parsed.agent_id if parsed else item.agent_id
    return named.lower() if named and session_key.valid_agent_id(named) else None


def one_answer(result: Result, item: Reported) -> Response:
    """202 when it was accepted now, 200 when it was before, else its problem."""
    if not isinstance(result, Receipt):
        return answer(refusal_of(result), item.completion_id)
    shown: Accepted | WakeAccepted = _accepted(result)
    if isinstance(item, WakeRequest):
        shown = WakeAccepted(wake_id=result.completion_id, accepted_at_ms=result.accepted_at_ms, duplicate=result.duplicate)
    place = {"Location": f"/v1/completions/{quote(result.completion_id, safe='')}"}
    return Response(shown.model_dump_json(), _status(result), headers=place, media_type=MEDIA_TYPE)


def batch_answer(results: Sequence[Result], items: Sequence[Reported | WakeError]) -> Response:
    """202 when all are durable and some are new, 200 when none is new; the status that all share; else 207."""
    shown = tuple(_item(result, item) for result, item in zip(results, items, strict=True))
    statuses = {item.status for item in shown}
    status = 202 if statuses == {200, 202} else statuses.pop() if len(statuses) == 1 else 207
    waits = [refusal_of(result).headers.get("Retry-After") for result in results if isinstance(result, InboxFull)]
    headers = {"Retry-After": str(waits[0])} if waits else {}
    return Response(BatchAnswer(results=shown).model_dump_json(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE)


def _item(result: Result, item: Reported | WakeError) -> BatchItem:
    if isinstance(result, Receipt):
        return BatchItem(status=_status(result), accepted=_accepted(result))
    problem = refusal_of(result).problem
    named = None if isinstance(item, WakeError) else item.completion_id
    return BatchItem(status=problem.status, problem=problem.model_copy(update={"completion_id": named}))


def _accepted(receipt: Receipt) -> Accepted:
    return Accepted(completion_id=receipt.completion_id, accepted_at_ms=receipt.accepted_at_ms, duplicate=receipt.duplicate)


def _status(receipt: Receipt) -> int:
    return 200 if receipt.duplicate else 202
