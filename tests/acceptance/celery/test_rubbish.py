"""Items on the queues that are no Celery message, or one that Celery cannot take: dropped and said; no worker dies of them."""

from __future__ import annotations

import json

import pytest

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.gateway_fixture import gateway

__all__ = ["gateway"]

DELIVERY = {"delivery_tag": "t1", "delivery_info": {"exchange": "", "routing_key": "wake.inbox"}, "body_encoding": "base64"}


def message(body: str, headers: object) -> bytes:
    """In the form that kombu writes."""
    return json.dumps({"body": body, "headers": headers, "content-type": "application/json", "properties": DELIVERY}).encode()


ITEMS = [
    b"not json",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"body": 1, "headers": {}, "properties": {}}',
    message("!", {"task": []}),
    message("e30=", {"task": "workers.heartbeat"}),
    message("W10=", None),
]


@pytest.mark.parametrize("pool_type", ["threads", "prefork"])
def test_what_is_no_message_is_dropped(gateway: Gateway, pool_type: str) -> None:
    gateway.configure(pools={"agents": {"pool_type": pool_type, "concurrency": 2, "partitions": 2}})
    router, worker = gateway.start_router(), gateway.start_worker()
    gateway.ready()
    queues = ["wake.inbox", "wake.agents.00", "wake.agents.01"]
    for item in ITEMS:
        for queue in queues:
            gateway.store.client.rpush(queue, item)
        wait_until(lambda: not any(map(gateway.store.client.llen, queues)), PATIENCE_S, f"{item!r} is taken")
    gateway.submit("c1")
    gateway.quiet(settled=1)
    for process in (router, worker):
        assert process.alive
        process.hears("no message")
        process.hears("was dropped", times=6)
        assert "Unrecoverable" not in process.said()
    left = {key for key in gateway.store.client.scan_iter("*unacked*") if not key.endswith("mutex")}
    assert left == set(), "what was dropped must not come back with the next worker"
