"""Hostile input where it arrives: entries of the inbox stream, items on the queues, bytes on the ingress's port, what a command prints."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dispatcher.core.models import Failed
from tests.fuzz.targets import STEERING
from tests.fuzz.varied import ODD
from tests.support.desk import Desk
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.ingress import Ingress
from tests.support.requests import request
from workers.runners import Control
from workers.runners.command import CommandRunner

BODY = b'{"session_key": "agent:ops:main", "completion_id": "c", "exit_code": 1}'
MESSAGE = (
    b'{"body": "W1tdLCB7fSwgeyJjYWxsYmFja3MiOiBbXX1d", "headers": {"task": "dispatcher.route", "id": "i", "lang": "py"}, '
    b'"content-type": "application/json", "content-encoding": "utf-8", "properties": {"delivery_tag": "t", "body_encoding": "base64", '
    b'"delivery_info": {"exchange": "", "routing_key": "x"}}}'
)
HTTP = (
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\nContent-Length: 71\r\n\r\n"
    + BODY
)


def mutated(chance: random.Random, seed: bytes) -> bytes:
    """The seed with up to five changes."""
    data = seed
    for _ in range(chance.randint(0, 5)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 0, 1, 3, 10)))
        data = data[:start] + chance.choice((chance.choice(ODD), chance.randbytes(chance.randint(0, 6)), seed[:20])) + data[end:]
    return data


def inbox_entries(desk: Desk, chance: random.Random, count: int) -> dict[str, int]:
    """Appended past every check, as who has a producer's password may. Each leaves the inbox, and what is sound goes on."""
    raw: Any = desk.store.client
    stream = desk.store.keys.inbox["stream"]
    router = desk.router()
    seeds = {b"id": b"x", b"revival": b"0", b"at": b"1795366456000", b"body": BODY}
    done: dict[str, int] = {}
    for number in range(count):
        fields = {name: mutated(chance, value) for name, value in seeds.items() if chance.random() < 0.9}
        fields |= {mutated(chance, b"more"): b"x"} if chance.random() < 0.2 else {}
        raw.xadd(stream, fields or {b"x": b"y"})
        if number % 50 == 49 or number == count - 1:
            sound = desk.submit(session_key="agent:ops:main", completion_id=f"sound-{number}")
            for word, found in router.drain_inbox().items():
                done[word] = done.get(word, 0) + found
            assert raw.xlen(stream) == 0, "an entry stays in the inbox"
            where = desk.store.ledger.where(sound)
            assert where is not None
            assert where.fate == "pending", where
    return done


def queue_items(gateway: Gateway, chance: random.Random, count: int) -> dict[str, int]:
    """On the queues of a router and a worker that run as in production. Both live on, and a completion comes through."""
    router, worker = gateway.start_router(), gateway.start_worker()
    gateway.ready()
    queues = ["wake.inbox", "wake.agents.00"]
    for number in range(count):
        seed = MESSAGE.replace(b"dispatcher.route", b"workers.heartbeat") if number % 2 else MESSAGE
        gateway.store.client.rpush(queues[number % 2], mutated(chance, seed))
    wait_until(lambda: not any(map(gateway.store.client.llen, queues)), PATIENCE_S, "every item is taken")
    gateway.submit("sound")
    gateway.quiet(settled=1)
    assert router.alive, router.said()[-2000:]
    assert worker.alive, worker.said()[-2000:]
    said = router.said() + worker.said()
    assert not STEERING.search(said.replace("\r", ""))
    foreign = [key for key in gateway.store.client.scan_iter("*") if not key.startswith(("wake", "_kombu"))]
    assert [key for key in foreign if not key.endswith(".celery.pidbox")] == [], "a message made a worker write elsewhere"
    return {"dropped and said": said.count("dropped"), "taken": count - said.count("dropped")}


def http_bytes(ingress: Ingress, chance: random.Random, count: int) -> dict[str, int]:
    """Straight into the socket. Each gets an answer that refuses, or none, and the ingress goes on."""
    done: dict[str, int] = {}
    for _ in range(count):
        with ingress.socket() as link:
            link.sendall(mutated(chance, HTTP))
            link.shutdown(socket.SHUT_WR)
            answer = _all_of(link)
        word = answer[9:12].decode("ascii", "replace") or "closed"
        assert word == "closed" or word.startswith("4"), answer[:500]
        done[word] = done.get(word, 0) + 1
    assert ingress.ask("GET", "/healthz", token=None).status == 200
    return done


def _all_of(link: socket.socket) -> bytes:
    try:
        return b"".join(iter(lambda: link.recv(65_536), b""))
    except ConnectionResetError:  # it was refused before all of it was read
        return b""


def printed(folder: Path, chance: random.Random, count: int) -> dict[str, int]:
    """By the command of a heartbeat, on both of its outputs."""
    done: dict[str, int] = {}
    for end in outputs(chance, count):
        file = folder / "said"
        file.write_bytes(end)
        program = (
            f"import sys; d = open({str(file)!r}, 'rb').read(); [f.buffer.write(d) for f in (sys.stdout, sys.stderr)]; sys.exit(len(d) % 3)"
        )
        result = CommandRunner((sys.executable, "-I", "-S", "-c", program), output_bytes=1_000).run(request(), Control(60))
        said = f"{getattr(result, 'note', '')}{getattr(result, 'error', '')}{getattr(result, 'reason', '')}"
        assert not STEERING.search(said), said
        assert len(said) < 5_000
        word = "failed" if isinstance(result, Failed) else "ran"
        done[word] = done.get(word, 0) + 1
    return done


def outputs(chance: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield mutated(chance, b"\x1b[31mline\x1b]0;t\x07\n\xff\xc2\x9b2J" * chance.randint(1, 200))


Live = Callable[[Any, random.Random, int], dict[str, int]]
LIVE: dict[str, Live] = {
    "entries of the inbox": inbox_entries,
    "items on the queues": queue_items,
    "bytes to the ingress": http_bytes,
    "what a command prints": printed,
}
