"""Errors as problem details (RFC 9457). What a client is told names the remedy and nothing of the server's inside."""

from __future__ import annotations

import logging
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dispatcher.core import errors
from dispatcher.http.values import Problem

log = logging.getLogger(__name__)
TYPE = "urn:wake-dispatcher:problem:"
MEDIA_TYPE = "application/problem+json"
RETRY_S = 2


class Refused(errors.WakeError):
    """A request that gets a problem as its answer."""

    def __init__(self, status: int, word: str, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        self.problem = Problem(type=TYPE + word, title=title, status=status, detail=detail)
        self.headers = headers or {}
        super().__init__(detail)


def overloaded(detail: str) -> Refused:
    return Refused(503, "overloaded", "Too much at once", detail, {"Retry-After": "1"})


def refusal_of(error: errors.WakeError) -> Refused:
    """The answer to an error of ours."""
    match error:
        case Refused():
            return error
        case errors.TokenRefused():
            return Refused(401, "token-refused", "Token refused", str(error), {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        case errors.Forbidden():
            return Refused(403, "forbidden", "Not covered by this token", str(error))
        case errors.UnknownCompletion():
            return Refused(404, "unknown-completion", "Unknown completion", str(error))
        case errors.IdConflict():
            return Refused(409, "id-conflict", "The id means something else", str(error))
        case errors.InvalidCompletion():
            return Refused(422, "invalid", "Not usable as it is", str(error))
        case errors.InboxFull():
            wait = {"Retry-After": str(math.ceil(error.retry_after_s))}
            return Refused(429, "inbox-full", "The inbox is full", str(error), wait)
        case errors.StoreUnavailable():
            log.warning("http: %s", error)
            said = "the store does not answer; whether it took effect is unknown: repeat it with the same id"
            return Refused(503, "store-unavailable", "The store does not answer", said, {"Retry-After": str(RETRY_S)})
    log.error("http: %s", error)
    return Refused(503, "not-ready", "Not ready", "the ingress is not configured as it should be; its log says more", {"Retry-After": "30"})


def answer(refused: Refused, completion_id: str | None = None) -> Response:
    problem = refused.problem.model_copy(update={"completion_id": completion_id}) if completion_id else refused.problem
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, refused.problem.status, headers=refused.headers, media_type=MEDIA_TYPE)


async def on_our_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.WakeError)
    return answer(refusal_of(error))


async def on_http_error(_: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, a method that the path does not have."""
    assert isinstance(error, HTTPException)
    word = {404: "unknown-path", 405: "method-not-allowed"}.get(error.status_code, "refused")
    return answer(Refused(error.status_code, word, error.detail, error.detail, dict(error.headers or {})))


async def on_bug(_: Request, error: Exception) -> Response:
    log.error("http: %s", type(error).__name__, exc_info=error)
    return answer(Refused(500, "bug", "A bug of ours", "the request was not answered; the ingress's log says more"))
