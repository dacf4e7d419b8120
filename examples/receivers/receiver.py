#!/usr/bin/env python3
"""A receiver of heartbeats for the `http` runner. Standard library only: copy it, and write your own `turn`.

    WAKE_SECRET=whsec_... PORT=8787 JOURNAL=turns.jsonl python3 receiver.py

It answers only what is signed and fresh, refuses a token older than the newest it saw of that agent, and never takes one turn twice:
the same batch gets the answer that it got before, also after a restart.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300
MAX_BODY_BYTES = 4 * 1024 * 1024
Answer = tuple[int, dict[str, Any]]


def turn(request: dict[str, Any]) -> dict[str, Any]:
    """One turn of the agent; replace it. What it raises makes the same batch come again. Texts of events come from commands: untrusted."""
    for event in request["events"]:
        print(f"{request['agent_id']}: {event['text']}", flush=True)
    return {"acted": True, "note": f"{len(request['completion_ids'])} result(s) seen"}


class Turns:
    """What was seen and answered, in memory and in a file that is read at the start; so a restart forgets nothing."""

    def __init__(self, journal: str) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._running: set[str] = set()
        self._journal = open(journal, "a+b")  # noqa: SIM115  open as long as the process lives
        self._journal.seek(0)
        whole, _, torn = self._journal.read().rpartition(b"\n")
        self._journal.truncate(self._journal.tell() - len(torn))  # a crash may have torn the last line; nothing may be added to it
        for line in whole.splitlines():
            self._note(**json.loads(line))

    def take(self, request: dict[str, Any]) -> Answer:
        agent, batch, token = request["agent_id"], request["batch_id"], request["token"]
        with self._lock:
            if token < self._newest.get(agent, 0):
                return 409, {"error": "stale token: another worker holds this agent"}
            self._record(agent=agent, token=token)
            if batch in self._answers:
                return 200, self._answers[batch]
            if agent in self._running:
                return 409, {"error": "this agent is in a turn"}
            self._running.add(agent)
        try:
            answer = turn(request)
            with self._lock:
                self._record(agent=agent, token=token, batch=batch, answer=answer)
            return 200, answer
        finally:
            with self._lock:
                self._running.discard(agent)

    def _record(self, **entry: Any) -> None:
        self._journal.write(json.dumps(entry).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._note(**entry)

    def _note(self, agent: str, token: int, batch: str | None = None, answer: dict[str, Any] | None = None) -> None:
        self._newest[agent] = max(token, self._newest.get(agent, 0))
        if batch is not None and answer is not None:
            self._answers[batch] = answer


def genuine(secret: str, headers: Any, body: bytes) -> bool:
    """Whether one of the signatures is ours and no older than five minutes (Standard Webhooks)."""
    message, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(time.time() - int(stamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
    ours = b"v1," + base64.b64encode(digest)
    return any(hmac.compare_digest(ours, theirs.encode()) for theirs in headers.get("webhook-signature", "").split())


class Handler(BaseHTTPRequestHandler):
    """Checks, then asks `Turns`. The token is taken from the body, which is signed; the headers are not."""

    turns: Turns
    secret: str

    def do_POST(self) -> None:
        try:
            status, answer = self._answer()
        except Exception as error:  # noqa: BLE001  whatever goes wrong in a turn: 500 brings the same batch again
            status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 409:
            self.send_header("Retry-After", "2")
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> Answer:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return 413, {"error": "too large, or of unknown length"}
        body = self.rfile.read(int(length))
        if not genuine(self.secret, self.headers, body):
            return 401, {"error": "not signed with our secret, or too old"}
        request = json.loads(body)
        if request["batch_id"] != self.headers["webhook-id"] or str(request["token"]) != self.headers["Wake-Fencing-Token"]:
            return 400, {"error": "headers and body disagree"}
        return self.turns.take(request)


if __name__ == "__main__":
    Handler.secret = os.environ["WAKE_SECRET"]
    Handler.turns = Turns(os.environ.get("JOURNAL", "turns.jsonl"))
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8787"))), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
