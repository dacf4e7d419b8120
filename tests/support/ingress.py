"""The ingress over HTTP as a process of its own, on a real server, and a plain client for it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

from dispatcher.config import Config, load
from dispatcher.routing import Router
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.store.opened import Store, open_store
from dispatcher.tokens import Keyring, new_key
from tests.support.desk import Bells
from tests.support.exec_process import environment
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Worker

AGENTS = '[agents.ops]\n[agents.research]\n[agents."lab-*"]\n[defaults]\nwindow_ms = 0\n[routing.bindings]\n"node-lab" = "research"\n'
ANY = ("manual", "immediate", "event", "task", "scheduled", "rider")
MINE: Any = object()  # the token of agent ops, with wakes


class Answer(NamedTuple):
    """What came back. `body` is the JSON document, or the text when it is none."""

    status: int
    headers: dict[str, str]
    body: Any


class UnixConnection(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Ingress:
    """`http` is the text of the [http] table; `toml` comes before it. The port is a free one."""

    def __init__(self, folder: Path, url: str, http: str = "", toml: str = AGENTS, *words: str) -> None:
        self.folder, self.url, self.bells = folder, url, Bells()
        (folder / "wake.toml").write_text(f"{toml}\n[http]\n{'' if 'port' in http or 'uds' in http else 'port = 0'}\n{http}\n")
        self.keys = folder / ".wake" / "token.keys"
        self.keys.parent.mkdir(exist_ok=True)
        self.keys.write_text(new_key())
        self.config: Config = load(folder / "wake.toml", {"WAKE_REDIS_URL": url})
        self.store: Store = open_store(self.config, url)
        variables = environment(url)
        if "socket_timeout_ms" in toml:
            del variables["WAKE_REDIS_SOCKET_TIMEOUT_MS"]  # it would win
        self.process = Worker(["web", *words], folder / "web.log", folder, variables)

    def ready(self) -> Ingress:
        """Waits until it listens."""
        wait_until(lambda: self.process.alive and re.search(r" http: \S+", self.process.said()), PATIENCE_S, "the ingress listens")
        return self

    @property
    def place(self) -> str:
        found = re.search(r" http: (\S+),", self.process.said())
        assert found, self.process.said()
        return found[1]

    def connection(self, timeout_s: float = PATIENCE_S) -> http.client.HTTPConnection:
        scheme, _, rest = self.place.partition(":")
        if scheme == "unix":
            return UnixConnection(rest, timeout_s)
        host, _, port = rest.removeprefix("//").rpartition(":")
        return http.client.HTTPConnection(host, int(port), timeout=timeout_s)

    def socket(self) -> socket.socket:
        """A bare connection, for what no client does."""
        connection = self.connection()
        connection.connect()
        assert connection.sock
        bare = socket.socket(fileno=connection.sock.detach())
        bare.settimeout(PATIENCE_S)
        return bare

    def token(self, *agents: str, wakes: bool = False, ttl_s: int = 3600, ago_s: int = 0) -> str:
        return Keyring(self.config, {}).mint(agents or ("ops",), ttl_s=ttl_s, now_s=int(time.time()) - ago_s, wakes=wakes)

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = MINE, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own. A body that is no text is sent as JSON."""
        token = self.token("ops", wakes=True) if token is MINE else token
        said = {"Authorization": f"Bearer {token}"} if token is not None else {}
        said |= {"Content-Type": "application/json"} if body is not None else {}
        connection = self.connection()
        try:
            raw = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
            connection.request(method, path, raw, said | (headers or {}))
            found = connection.getresponse()
            text = found.read().decode()
            is_json = "json" in (found.getheader("content-type") or "")
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, json.loads(text) if is_json else text)
        finally:
            connection.close()

    def post(self, path: str, body: Any, **more: Any) -> Answer:
        return self.ask("POST", f"/v1/{path}", body, **more)

    def get(self, completion_id: str, query: str = "", **more: Any) -> Answer:
        return self.ask("GET", f"/v1/completions/{completion_id}{query}", **more)

    def accepted(self, count: int = 1) -> list[dict[str, Any]]:
        """What was accepted and not yet routed, oldest first, once there are so many; without the tokens."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            found[:] = [json.loads(fields["body"]) for _, fields in self.store.client.xrange(self.store.keys.inbox["stream"])]
            return len(found) >= count

        wait_until(are_there, PATIENCE_S, f"{count} completions are accepted")
        return [{name: value for name, value in said.items() if name != "token"} for said in found]

    def route(self) -> dict[str, int]:
        """What a router does."""
        self.store.inbox.prepare()
        return Router(self.store, self.config, self.bells).drain_inbox()

    def settle(self, agent_id: str = "ops") -> list[str]:
        """What a worker does. The ids of the batch."""
        leased = self.store.mailbox.acquire(agent_id, "agents", "worker.agents.h.1.a", "n")
        assert isinstance(leased, Leased), leased
        begun = self.store.mailbox.begin(leased.lease, f"agent:{agent_id}:main", ANY, 5000, 600_000)
        assert isinstance(begun, Begun)
        self.store.mailbox.settle(leased.lease, begun.batch.batch_id, "ran", {"acted": True})
        return [wake.wake_id for wake in begun.batch.wakes]

    def close(self) -> None:
        self.process.close()
        self.store.close()
        print(self.process.said()[-3000:])


def problem(answer: Answer) -> str:
    """The word that programs rely on; the answer is a problem document as RFC 9457 wants it."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    assert answer.body["status"] == answer.status
    assert answer.body["title"]
    assert answer.body["detail"]
    return str(answer.body["type"]).removeprefix("urn:wake-dispatcher:problem:")
