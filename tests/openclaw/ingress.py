"""Takes what the gateway's plugin posts and submits it to the store under test; answers only when it is durable."""

from __future__ import annotations

import json

from dispatcher.core.errors import StoreUnavailable
from tests.support.gateway import Gateway as Dispatcher
from tests.support.receiver import Got, Handler, Receiver, Reply


class StoreIngress(Receiver):
    """`POST /v1/completions` before the real store."""

    def __init__(self, dispatcher: Dispatcher, token: str) -> None:
        super().__init__(self._answer)
        self.base = f"http://127.0.0.1:{self.server_port}"
        self._dispatcher, self._token = dispatcher, token

    def _answer(self, _: Handler, got: Got) -> Reply:
        if got.headers.get("authorization") != f"Bearer {self._token}":
            return Reply(401)
        said = json.loads(got.body)
        try:
            (receipt,) = self._dispatcher.submit(said.pop("completion_id"), session=said.pop("session_key"), **said)
        except StoreUnavailable:
            return Reply(503)
        return Reply(200 if receipt.duplicate else 202, receipt.model_dump_json().encode())
