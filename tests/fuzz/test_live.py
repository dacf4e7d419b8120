"""A short round of the live campaign, with real processes and a real server."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import pytest

from tests.fuzz.live import http_bytes, inbox_entries, printed, queue_items
from tests.support.desk import Desk
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.gateway_fixture import gateway
from tests.support.ingress import Ingress
from tests.support.ingress_fixture import ingress, shared_ingress
from tests.support.server import Server

__all__ = ["gateway", "ingress", "shared_ingress"]


@pytest.fixture
def desk(server: Server, redis_client: object, tmp_path: Path) -> Desk:
    assert redis_client
    return Desk(tmp_path, server.url)


def test_nothing_that_is_appended_to_the_inbox_holds_up_what_is_sound(desk: Desk) -> None:
    done = inbox_entries(desk, random.Random(7), 150)
    assert done["dead"] > 50


def test_a_body_that_is_nested_too_deep_costs_its_own_entry_only(desk: Desk) -> None:
    deep, stream = '{"x": ' + "[" * 5_000, desk.store.keys.inbox["stream"]
    desk.store.client.xadd(stream, {"id": "odd", "body": deep})
    desk.submit(session_key="agent:ops:main", completion_id="sound")
    assert sum(desk.router().drain_inbox().values()) == 2
    desk.store.client.xadd(stream, {"id": "odd-2", "body": deep})
    desk.store.client.xadd(stream, {"id": "odd-3", "body": '{"session_key": [1], "agent_id": {}}'})
    assert len(desk.store.inbox.claim("a router that died", 10).entries) == 2
    assert desk.store.ledger.balance().unrouted == 2, "the books read what is claimed"


@pytest.mark.parametrize(("field", "value"), [("revival", "x"), ("at", "9" * 5_000), ("at", "-1"), ("id", "")])
def test_a_field_that_is_no_number_costs_its_own_entry_only(desk: Desk, field: str, value: str) -> None:
    """One entry that every router trips over would stop the routing of all."""
    body = json.dumps({"session_key": "agent:ops:main", "completion_id": "odd", "exit_code": 1})
    desk.store.client.xadd(desk.store.keys.inbox["stream"], {"id": "odd", "body": body} | {field: value})
    desk.submit(session_key="agent:ops:main", completion_id="sound")
    desk.router().drain_inbox()
    where = desk.store.ledger.where("sound")
    assert where is not None
    assert where.fate == "pending"
    assert desk.store.client.xlen(desk.store.keys.inbox["stream"]) == 0


@pytest.mark.slow
def test_items_on_the_queues_stop_nobody(gateway: Gateway) -> None:
    queue_items(gateway, random.Random(7), 300)


@pytest.mark.slow
def test_a_message_can_make_nobody_publish(gateway: Gateway) -> None:
    """Callbacks, chains and Celery's own tasks would be sent with the router's rights, to any queue."""
    router = gateway.start_router()
    link = {"task": "workers.heartbeat", "args": ["ops"], "kwargs": {}, "options": {"exchange": "", "routing_key": "stolen"}}
    hostile = [
        ("dispatcher.route", [[], {}, {"callbacks": [link], "errbacks": [link], "chain": [link], "chord": None}]),
        ("celery.group", [[[link], "r", "g", []], {}, {}]),
        ("celery.map", [[link, [[]]], {}, {}]),
    ]
    for number, (name, body) in enumerate(hostile):
        headers = {"task": name, "id": str(number), "lang": "py", "eta": "2999-01-01T00:00:00", "timelimit": [1, 1]}
        properties = {"delivery_tag": str(number), "body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "stolen"}}
        encoded = base64.b64encode(json.dumps(body).encode()).decode()
        kinds = {"content-type": "application/json", "content-encoding": "utf-8"}
        gateway.store.client.rpush("wake.inbox", json.dumps({"body": encoded, "headers": headers, "properties": properties} | kinds))
    wait_until(lambda: not gateway.store.client.llen("wake.inbox"), PATIENCE_S, "the router took them")
    gateway.submit("sound")
    wait_until(lambda: "pending" in str(gateway.store.ledger.where("sound")), PATIENCE_S, "the router goes on")
    assert not gateway.store.client.exists("stolen")
    assert router.alive
    assert not gateway.store.client.keys("wake.inbox.unacked"), "nothing is kept for the year 2999"


@pytest.mark.slow
def test_bytes_to_the_ingress_stop_nobody(ingress: Ingress) -> None:
    done = http_bytes(ingress, random.Random(7), 200)
    assert {"400", "401"} <= set(done), done


@pytest.mark.slow
def test_what_a_command_prints_steers_nothing(tmp_path: Path) -> None:
    assert printed(tmp_path, random.Random(7), 30)
