"""Items on a queue that are no messages, or none of ours. Whoever can write to the server can put anything on a queue, by accident too.

Kombu decodes an item in the worker's event loop, where an error ends the worker; the item is gone by then, but the next one ends the next
worker. Here it is said and dropped: a message is a hint, so nothing is lost with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

from celery import Task
from celery.app.amqp import AMQP
from celery.app.control import Control
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import NoPermissionError

from dispatcher import names
from dispatcher.store.primary import LOOK_S, PrimaryConnection, left_behind

log = logging.getLogger(__name__)
SHOWN_CHARS = 200
RECONNECT_S = 5
MORE = 32  # messages of one turn of a worker's loop, beside the first: signals and remote control wait as long
# Headers of Celery that nobody of ours sends: a later time is held in memory, a time limit kills children.
NOT_OURS = frozenset({"eta", "expires", "timelimit", "group", "group_index", "shadow", "stamps", "stamped_headers", "reply_to"})


class QoS(redis.QoS):
    """Keeps a copy of a message until it is acknowledged, but not of one that says only "look": two round trips, to keep a hint."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hints: set[str] = set()  # taken and not acknowledged; ack and reject come from threads

    def append(self, message: Any, delivery_tag: str) -> None:
        if message.headers.get("task") == names.ROUTE:
            self._hints.add(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if delivery_tag in self._hints:
            self._hints.discard(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if delivery_tag in self._hints:
            self.ack(delivery_tag)
        else:
            super().reject(delivery_tag, requeue)


class Channel(redis.Channel):
    """Takes an item that is no JSON for none. Makes one client for all its publishing, where kombu makes one for each message."""

    QoS = QoS
    _publisher: Any = None
    _may_take_more = True

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._publisher is None or self._publisher.connection_pool is not self.pool:
            self._publisher = super()._create_client()
        return self._publisher

    def _brpop_read(self, **options: Any) -> Any:
        read = self._decoded(lambda: redis.Channel._brpop_read(self, **options))
        for _ in range(MORE):
            if not self._may_take_more or not self.active_queues or not self.qos.can_consume() or not self._took_one():
                break
        return read

    def _took_one(self) -> bool:
        """Without a turn of the loop for it, which costs about as much as the rest of a message."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        try:
            found = self.client.execute_command("LMPOP", len(queues), *queues, "RIGHT")
        except NoPermissionError as error:  # a server's user of before
            log.info("messages are taken one in a turn: %s; `wake acl` writes the rights anew", error)
            self._may_take_more = False
            return False
        if not found:
            return False
        queue, item = bytes_to_str(found[0]), found[1][0]
        self._queue_cycle.rotate(queue)
        with suppress(Empty):
            self._decoded(lambda: self.connection._deliver(loads(bytes_to_str(item)), queue))
        return True

    def _decoded(self, deliver: Callable[[], Any]) -> Any:
        self.connection.delivering = False
        try:
            return deliver()
        except (ValueError, RecursionError) as error:  # of JSON and of UTF-8; those of a delivery are met where it is made
            if self.connection.delivering:
                raise
            log.error("an item on a queue is no message and was dropped: %s", error)
            raise Empty from None


class Transport(redis.Transport):
    """Drops a message that Celery cannot take."""

    Channel = Channel
    delivering = False  # the item was decoded

    def _deliver(self, message: Any, queue: str) -> None:
        self.delivering = True
        try:
            super()._deliver(self._plain(message, queue), queue)
        except Exception as error:  # whatever a foreign message trips over in kombu or Celery
            if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):  # kombu counts that one among them
                raise
            log.error("a message on %s was dropped: %s: %s: %.*r", queue, type(error).__name__, error, SHOWN_CHARS, message)
            self._forget(message)

    def _plain(self, message: Any, queue: str) -> Any:
        """Without what would make a worker do more, or hold longer, than run one task now: its rights are not those of who sent it.

        Given back, a message returns to the queue that it came from, whatever it says itself.
        """
        if isinstance(message, dict) and isinstance(message.get("properties"), dict) and isinstance(message.get("headers"), dict):
            message["properties"]["delivery_info"] = {"exchange": "", "routing_key": queue}
            message["headers"] = {name: value for name, value in message["headers"].items() if name not in NOT_OURS}
        return message

    def _forget(self, message: Any) -> None:
        """Not to be delivered again when this worker ends."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        for channel in self.channels:
            if isinstance(tag, str) and tag in channel.qos._delivered:
                channel.qos.ack(tag)


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same, to the primary that sentinels name, and to no replica."""

    connection_class = PrimaryConnection
    connection_class_ssl = None


class SentinelTransport(Transport, redis.SentinelTransport):
    """The same, to the primary that sentinels name."""

    Channel = SentinelChannel
    _looking: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)
        if self._looking is not None:
            self._looking.cancel()
        self._looking = loop.call_repeatedly(LOOK_S, self.leave_former_primary, connection.client.transport_options["master_name"])

    def leave_former_primary(self, name: str) -> None:
        """Who waits at a primary that vanished hears nothing, and kombu asks after 15 s or more. Once closed, it connects anew at once."""
        cycle: Any = self.cycle  # typed as the poller of another transport
        for _, client, _ in list(cycle._chan_to_sock):
            waits = client.connection
            if waits is not None and waits.is_connected and left_behind(name, waits):
                log.warning("the broker is another server now: leaving %s:%s", waits.host, waits.port)
                waits.disconnect()


OURS = {redis.Transport: Transport, redis.SentinelTransport: SentinelTransport}


class ForgivingConnection(Connection):
    """To Redis through the transports above; to anything else as usual."""

    def ensure_connection(self, *args: Any, **more: Any) -> Any:
        """Waits no longer than `RECONNECT_S` between two tries; kombu goes up to 30 s, in which a host that is back takes no work."""
        return super().ensure_connection(*args, **{"interval_max": RECONNECT_S} | more)

    def get_transport_cls(self) -> Any:
        chosen = super().get_transport_cls()
        return OURS.get(chosen, chosen)


class ForgivingAMQP(AMQP):
    """What Celery makes its connections with."""

    Connection = ForgivingConnection


class PlainTask(Task):
    """Runs, and no more: what a message wants to follow from it (callbacks, chains, chords) would be published with the worker's rights."""

    def before_start(self, *_: Any) -> None:
        self.request.update(callbacks=None, errbacks=None, chain=None, chord=None)


class QuietControl(Control):
    """Remote control, where the server's user may speak on its channel; Flower's may not, and goes on without."""

    def broadcast(self, command: str, *args: Any, **options: Any) -> Any:
        try:
            return super().broadcast(command, *args, **options)
        except OperationalError as error:
            if not isinstance(error.__cause__, NoPermissionError):
                raise
            log.info("remote control %s: the server's user may only listen; see docs/access.md", command)
            return []
