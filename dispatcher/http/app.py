"""The ASGI application: routes, and what every request goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dispatcher.config import Config
from dispatcher.core.errors import InvalidCompletion, StoreUnavailable, UnknownCompletion, WakeError
from dispatcher.core.reported import Reported
from dispatcher.http import problems
from dispatcher.http.authentication import Authentication, Caller
from dispatcher.http.bodies import json_object
from dispatcher.http.fates import Waiting, shown
from dispatcher.http.openapi import document
from dispatcher.http.problems import Refused
from dispatcher.http.store_calls import StoreCalls
from dispatcher.http.submitting import batch_answer, batch_in, completion_in, one_answer, submit_each, wake_in
from dispatcher.http.values import Health
from dispatcher.store.ledger import Whereabouts
from dispatcher.tokens import authorize

DEFAULT_WAIT_S = 25.0


class Ingress:
    """One handler for each operation. `leaving` says that the server ends: nobody is kept waiting then."""

    def __init__(self, config: Config, leaving: Callable[[], bool]) -> None:
        self._http, self._max_inbox = config.http, config.bounds.max_inbox
        self._authentication = Authentication(config)
        self._calls = StoreCalls(config.http.threads, config.http.max_queued)
        self._waiting = Waiting(self._calls, config.http.max_waiting, leaving)
        self._document = document(config)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/completions/{completion_id:path}", self.fate, methods=["GET"]),
            Route("/v1/wakes", self.wakes, methods=["POST"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def completions(self, request: Request) -> Response:
        caller = self._authentication.caller(request)
        body = await json_object(request, self._http.max_body_bytes, self._http.body_timeout_s)
        batch = batch_in(body, self._http.max_batch)
        if batch is None:
            return await self._one(completion_in(body, caller), caller)
        items: list[Reported | WakeError] = []
        for words in batch:
            try:
                items.append(completion_in(words, caller))
            except InvalidCompletion as error:
                items.append(error)
        results = await self._calls.run(lambda store: submit_each(store, items, caller))
        return batch_answer(results, items)

    async def wakes(self, request: Request) -> Response:
        caller = self._authentication.caller(request)
        body = await json_object(request, self._http.max_body_bytes, self._http.body_timeout_s)
        return await self._one(wake_in(body, caller), caller)

    async def _one(self, item: Reported, caller: Caller) -> Response:
        try:
            (result,) = await self._calls.run(lambda store: submit_each(store, [item], caller))
        except WakeError as error:
            return problems.answer(problems.refusal_of(error), item.completion_id)
        return one_answer(result, item)

    async def fate(self, request: Request) -> Response:
        caller = self._authentication.caller(request)
        completion_id = request.path_params["completion_id"]
        wait_s = self._wait_s(request)
        where = await self._where(completion_id, caller)
        if wait_s > 0 and not shown(where).final:
            await self._wait(request, completion_id, wait_s)
            where = await self._where(completion_id, caller)
        return Response(shown(where).model_dump_json(exclude_none=True), media_type="application/json")

    def _wait_s(self, request: Request) -> float:
        """Raises Refused (422)."""
        waits, timeouts = request.query_params.getlist("wait"), request.query_params.getlist("timeout_s")
        try:
            seconds = float(timeouts[0]) if timeouts else min(DEFAULT_WAIT_S, self._http.max_wait_s)
        except ValueError:
            seconds = -1.0
        if waits not in ([], ["settled"]) or len(timeouts) > 1 or not 0 <= seconds <= self._http.max_wait_s:
            said = f"wait may be settled, and timeout_s 0 to {self._http.max_wait_s:g}; each once"
            raise Refused(422, "invalid", "Not usable as it is", said)
        return seconds if waits else 0.0

    async def _where(self, completion_id: str, caller: Caller) -> Whereabouts:
        where = await self._calls.run(lambda store: store.ledger.where(completion_id))
        if where is None:
            raise UnknownCompletion(f"look up completion={completion_id[:200]}: never accepted here, or forgotten after its retention")
        if caller.grant is not None and where.agent_id is not None:
            authorize(caller.grant, where.agent_id, wake=False, what=f"look up completion={completion_id}")
        return where

    async def _wait(self, request: Request, completion_id: str, wait_s: float) -> None:
        """Until it is final, the time is over, or the client has gone."""
        waiting = asyncio.create_task(self._waiting.until_final(completion_id, wait_s))
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not waiting.done():
                waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()

    async def healthz(self, _: Request) -> Response:
        return _health(200, "alive")

    async def readyz(self, _: Request) -> Response:
        """Whether a completion would be taken now."""
        try:
            depth = await self._calls.run(lambda store: store.ledger.inbox_depth())
        except Refused:
            return _health(503, "busy")
        except StoreUnavailable:
            return _health(503, "the store does not answer")
        except WakeError as error:
            return problems.answer(problems.refusal_of(error))
        return _health(200, "ready") if depth < self._max_inbox else _health(503, "the inbox is full")

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(self._document)

    def close(self) -> None:
        self._calls.close()


def make_app(config: Config, leaving: Callable[[], bool] = lambda: False) -> Starlette:
    """The application of this configuration. The store is the one of this process."""
    ingress = Ingress(config, leaving)
    handlers = {WakeError: problems.on_our_error, HTTPException: problems.on_http_error, Exception: problems.on_bug}
    app = Starlette(routes=ingress.routes(), exception_handlers=handlers)
    app.state.ingress = ingress
    return app


def _health(status: int, said: str) -> Response:
    headers = {} if status == 200 else {"Retry-After": str(problems.RETRY_S)}
    return Response(Health(status=said).model_dump_json(), status, headers=headers, media_type="application/json")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
