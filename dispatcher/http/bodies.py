"""A request's body: JSON, bounded in size and in the time that it may take to arrive."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from dispatcher.http.problems import Refused

CLOSE = {"Connection": "close"}  # the rest of the body is not waited for


async def json_object(request: Request, max_bytes: int, timeout_s: float) -> dict[str, Any]:
    """Raises Refused: 408 too slow, 413 too large, 415 no JSON by its type, 400 none by its content, 422 no object."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _read(request, max_bytes)
    except TimeoutError:
        said = f"the body did not arrive within {timeout_s:g} s; nothing was written"
        raise Refused(408, "too-slow", "Too slow", said, CLOSE) from None
    except ClientDisconnect:
        raise Refused(400, "not-json", "Not JSON", "the connection ended before the body did", CLOSE) from None
    # Judged when the body was read: to close on one that is still on its way resets the connection, and the answer may be lost with it.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "not-json", "Not JSON", "send Content-Type: application/json")
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, "not-json", "Not JSON", f"the body is no JSON text: {error}") from None
    if not isinstance(value, dict):
        raise Refused(422, "invalid", "Not usable as it is", "the body must be an object; nothing was written")
    return value


async def _read(request: Request, max_bytes: int) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(found)


def _too_large(max_bytes: int) -> Refused:
    said = f"a body has at most {max_bytes} bytes ([http] max_body_bytes); send fewer completions, or the end of their output"
    return Refused(413, "too-large", "Too large", said, CLOSE)
