"""Heartbeats over HTTP through a real worker: what the receiver says is what becomes of the completion."""

from __future__ import annotations

import base64
import json

from tests.support.gateway import Gateway
from tests.support.receiver import Receiver, Reply, answering

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OPENCLAW_OK = Reply(200, b'{"ok": true, "runId": "r-1", "completion": {"status": "ok", "replyDisposition": "visible"}}')


def serve(gateway: Gateway, **runner: str) -> None:
    gateway.configure(defaults={"runner": runner, "retry_base_ms": 50})
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()


def test_a_busy_and_a_failing_receiver_get_the_completion_in_the_end(gateway: Gateway) -> None:
    """Busy dissolves the batch; after a failure the same one comes again, under a newer token."""
    with Receiver(answering(Reply(503, headers=(("Retry-After", "1"),)), Reply(500), Reply(200, b'{"note": "done"}'))) as receiver:
        serve(gateway, type="http", url=receiver.url, secret=SECRET)
        gateway.submit("c-1")
        gateway.quiet(settled=1)
        busy, failed, ran = [json.loads(got.body) for got in receiver.got]
    assert [asked["completion_ids"] for asked in (busy, failed, ran)] == [["c-1"]] * 3
    assert busy["batch_id"] != failed["batch_id"] == ran["batch_id"]
    assert busy["token"] < failed["token"] < ran["token"]
    assert (failed["attempt"], ran["attempt"]) == (1, 2)


def test_what_the_receiver_never_accepts_is_a_dead_letter_at_once(gateway: Gateway) -> None:
    with Receiver(answering(Reply(422, b"not like this"))) as receiver:
        serve(gateway, type="http", url=receiver.url, secret=SECRET)
        gateway.submit("c-1")
        gateway.quiet(dead=1)
        assert len(receiver.got) == 1


def test_an_agent_behind_a_gateway_takes_its_turn(gateway: Gateway) -> None:
    with Receiver(answering(Reply(503), OPENCLAW_OK)) as receiver:
        serve(gateway, type="openclaw", url=receiver.url, secret="token")
        gateway.submit("c-1", output="2 failed")
        gateway.quiet(settled=1)
        assert [got.path for got in receiver.got] == ["/wake/agent"] * 2
        assert "2 failed" in json.loads(receiver.got[-1].body)["message"]
