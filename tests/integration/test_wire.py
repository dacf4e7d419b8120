"""Connections that steps are called on: kept without a question, and never shared."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from dispatcher.config import RedisSettings
from dispatcher.store.connect import connect
from dispatcher.store.wire import Wire, packed
from tests.support.server import Server

WHO = [packed("CLIENT", "ID")]


@pytest.fixture
def wire(server: Server, redis_client: redis.Redis) -> Iterator[Wire]:
    assert redis_client.ping()
    client = connect(server.url, RedisSettings())
    wire = Wire(client)
    yield wire
    wire.close()
    client.close()


def test_a_connection_is_used_again(wire: Wire) -> None:
    assert wire.exchange(WHO) == wire.exchange(WHO)


def test_one_that_the_server_closed_is_replaced_and_the_call_repeated(wire: Wire, redis_client: redis.Redis) -> None:
    (before,) = wire.exchange(WHO)
    assert redis_client.client_kill_filter(_id=str(before)) == 1
    (after,) = wire.exchange(WHO)
    assert after != before


def test_a_refused_command_stands_in_its_place_and_spoils_nothing(wire: Wire) -> None:
    refused, pong = wire.exchange([packed("NO-SUCH-COMMAND"), packed("PING")])
    assert isinstance(refused, redis.ResponseError)
    assert pong == "PONG"
    assert wire.exchange([packed("PING")]) == ["PONG"]


def test_replies_that_were_not_read_never_answer_the_next_call(wire: Wire) -> None:
    """The second command is none, so its reply never comes; what did come is thrown away with the connection."""
    (before,) = wire.exchange(WHO)
    with pytest.raises(redis.RedisError):
        wire.exchange([packed("PING"), b"", packed("PING"), b"*1\r\n$4\r\nQUIT\r\n"])
    (after,) = wire.exchange(WHO)
    assert after != before


def test_a_forked_child_opens_one_of_its_own(wire: Wire) -> None:
    (parents,) = wire.exchange(WHO)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        (mine,) = wire.exchange(WHO)
        os.write(writer, str(mine).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 20)) != parents
    assert wire.exchange(WHO) == [parents]
    os.close(reader)
    os.close(writer)


def test_closed_it_opens_another_one_for_the_next_call(wire: Wire) -> None:
    (before,) = wire.exchange(WHO)
    wire.close()
    (after,) = wire.exchange(WHO)
    assert after != before
