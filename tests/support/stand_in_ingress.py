"""A stand-in for the ingress: `POST /v1/completions` with a bearer token, answered as the contract says, in memory and without a store."""

from __future__ import annotations

import json
from typing import Any

from tests.support.receiver import Got, Handler, Receiver, Reply


class StandInIngress(Receiver):
    """Accepts each completion id once. `refusals` are answered first, one for each request."""

    def __init__(self, token: str = "t0ken", *refusals: Reply) -> None:
        super().__init__(self._answer)
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.token, self.refusals = token, list(refusals)
        self.accepted: dict[str, dict[str, Any]] = {}

    def _answer(self, _: Handler, got: Got) -> Reply:
        if self.refusals:
            return self.refusals.pop(0)
        if (got.method, got.path) != ("POST", "/v1/completions"):
            return Reply(404)
        if got.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401)
        if got.headers.get("content-type") != "application/json":
            return Reply(415)
        said = json.loads(got.body)
        known = said["completion_id"] in self.accepted
        self.accepted.setdefault(said["completion_id"], said)
        return Reply(200 if known else 202, json.dumps({"completion_id": said["completion_id"]}).encode())
