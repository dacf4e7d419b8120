"""Doorbells and the routers' hints: copies of what Celery makes, and kept by nobody."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

from dispatcher import broker, names
from dispatcher.hints import Hints
from dispatcher.store.connect import kombu_url
from dispatcher.store.wire import Wire
from tests.support.server import Server

QUEUE = "wake.test.00"
DIFFER = ("id", "root_id", "correlation_id", "delivery_tag")


@pytest.fixture
def app(server: Server) -> Iterator[Celery]:
    with Celery("hints", broker=kombu_url(server.url), set_as_current=False, amqp="dispatcher.broker:ForgivingAMQP") as app:
        app.conf.update(task_ignore_result=True, broker_transport_options={"priority_steps": [0]})
        yield app


def newest(client: redis.Redis) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(str(client.lindex(QUEUE, 0)))
    return message


def likeness(message: dict[str, Any]) -> dict[str, Any]:
    """What two messages of one task and one agent have in common."""
    parts = {"headers": message["headers"], "properties": message["properties"]}
    same = {part: {name: value for name, value in of.items() if name not in DIFFER} for part, of in parts.items()}
    return message | same | {"body": json.loads(b64decode(message["body"]))}


@pytest.mark.parametrize("args", [("ops",), ()])
@pytest.mark.parametrize("task", [names.HEARTBEAT, names.ROUTE])
def test_a_hint_is_the_message_that_celery_would_send(app: Celery, redis_client: redis.Redis, task: str, args: tuple[str, ...]) -> None:
    queue = Queue(QUEUE, routing_key=QUEUE)
    app.send_task(task, args=args, queue=queue, argsrepr=repr(args), kwargsrepr="{}", ignore_result=True)
    by_celery = newest(redis_client)
    hints = Hints(app, task)
    hints.publish(Wire(redis_client), [(QUEUE, args)])
    by_us = newest(redis_client)
    assert likeness(by_us) == likeness(by_celery)
    assert by_us["headers"]["id"] == by_us["headers"]["root_id"] == by_us["properties"]["correlation_id"]


def test_each_hint_has_ids_and_an_agent_of_its_own_and_lies_in_its_queue(app: Celery, redis_client: redis.Redis) -> None:
    wire, other = Wire(redis_client), "wake.test.01"
    Hints(app, names.HEARTBEAT).publish(wire, [(QUEUE, ("ops",)), (other, ("build",)), (QUEUE, ('o"d\\d',))])
    found = [json.loads(raw) for queue in (QUEUE, other) for raw in redis_client.lrange(queue, 0, -1)]
    assert sorted(json.loads(b64decode(one["body"]))[0][0] for one in found) == ["build", 'o"d\\d', "ops"]
    assert {one["properties"]["delivery_info"]["routing_key"] for one in found} == {QUEUE, other}
    assert len({one["headers"]["id"] for one in found} | {one["properties"]["delivery_tag"] for one in found}) == 6


def test_a_refusal_is_raised(app: Celery, redis_client: redis.Redis) -> None:
    redis_client.set(QUEUE, "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        Hints(app, names.HEARTBEAT).publish(Wire(redis_client), [(QUEUE, ("ops",))])


@pytest.mark.parametrize(("task", "kept"), [(names.ROUTE, 0), (names.EXEC_COMPLETED, 1)])
@pytest.mark.parametrize("end", ["ack", "reject", "requeue"])
def test_the_only_copy_is_kept_until_it_is_acknowledged_and_a_hint_is_not(
    app: Celery, redis_client: redis.Redis, task: str, kept: int, end: str
) -> None:
    Hints(app, task).publish(Wire(redis_client), [(QUEUE, ())])
    with app.connection_for_read() as connection, connection.channel() as channel:
        message = channel.basic_get(QUEUE)
        assert isinstance(channel.qos, broker.QoS)
        assert redis_client.hlen("unacked") == redis_client.zcard("unacked_index") == kept
        {"ack": message.ack, "reject": message.reject, "requeue": message.requeue}[end]()
        assert redis_client.hlen("unacked") == redis_client.zcard("unacked_index") == 0
        assert redis_client.llen(QUEUE) == (kept if end == "requeue" else 0)


@contextmanager
def consuming(app: Celery, queues: list[str], slots: int) -> Iterator[tuple[Connection, list[str]]]:
    """A connection with one consumer, and the tasks whose messages it was given. It takes `slots` messages, and none more."""
    given: list[str] = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        consumer = Consumer(
            channel, [Queue(name, routing_key=name) for name in queues], on_message=lambda m: given.append(m.headers["task"])
        )
        channel.qos.can_consume = lambda: len(given) < slots
        consumer.consume()
        yield connection, given


def fill(client: redis.Redis, *queues: str) -> None:
    for queue in queues:
        client.lpush(queue, json.dumps({"headers": {"task": queue}, "properties": {"delivery_tag": queue}, "body": ""}))


@pytest.mark.parametrize(("slots", "left"), [(9, 0), (3, 1), (1, 3)])
def test_one_turn_of_the_loop_takes_a_message_for_each_free_slot(app: Celery, redis_client: redis.Redis, slots: int, left: int) -> None:
    """From whichever queue has one; what nobody has a slot for stays there, for another worker."""
    queues = ["wake.test.00", "wake.test.01", "wake.test.02"]
    fill(redis_client, *queues, "wake.test.01")
    with consuming(app, queues, slots) as (connection, given):
        connection.drain_events(timeout=60)
        assert len(given) == min(slots, 4)
        assert sum(redis_client.llen(queue) for queue in queues) == left


def test_what_is_no_message_costs_the_others_nothing(app: Celery, redis_client: redis.Redis) -> None:
    fill(redis_client, QUEUE)
    redis_client.lpush(QUEUE, b"\xff no JSON", "[" * 5_000)
    fill(redis_client, QUEUE)
    with consuming(app, [QUEUE], 9) as (connection, given):
        connection.drain_events(timeout=60)
        assert given == [QUEUE, QUEUE]


def test_a_user_who_may_not_take_more_takes_one_in_a_turn(app: Celery, redis_client: redis.Redis, server: Server) -> None:
    """The rights were written for a version that did not."""
    redis_client.acl_setuser("old", enabled=True, passwords=["+p"], keys=["*"], channels=["*"], categories=["+@all"], commands=["-lmpop"])
    app.conf.update(broker_read_url=kombu_url(server.url.replace("unix://", "unix://old:p@")))
    fill(redis_client, QUEUE, QUEUE)
    with consuming(app, [QUEUE], 9) as (connection, given):
        connection.drain_events(timeout=60)
        assert given == [QUEUE]
        connection.drain_events(timeout=60)
        assert given == [QUEUE, QUEUE]
    redis_client.acl_deluser("old")
