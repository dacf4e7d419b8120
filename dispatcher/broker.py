"""Messages that are none. Whoever can write to the server can put anything on a queue, by accident too.

Kombu decodes an item in the worker's event loop, where an error ends the worker; the item is gone by then, but the next one ends the next
worker. Here it is said and dropped: a message is a hint, so nothing is lost with it.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis

log = logging.getLogger(__name__)
SHOWN_CHARS = 200


class Channel(redis.Channel):
    """Takes an item that is no JSON for none."""

    def _brpop_read(self, **options: Any) -> Any:
        self.connection.delivering = False
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu ships no types for its transports
        except ValueError as error:  # of JSON and of UTF-8; those of a delivery are met where it is made
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
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]  # for the same reason
        except Exception as error:  # whatever a foreign message trips over in kombu or Celery
            if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):  # kombu counts that one among them
                raise
            log.error("a message on %s was dropped: %s: %s: %.*r", queue, type(error).__name__, error, SHOWN_CHARS, message)
            self._forget(message)

    def _forget(self, message: Any) -> None:
        """Not to be delivered again when this worker ends."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        for channel in self.channels:
            if isinstance(tag, str) and tag in channel.qos._delivered:
                channel.qos.ack(tag)


class ForgivingConnection(Connection):
    """To Redis through the transport above; to anything else as usual."""

    def get_transport_cls(self) -> Any:
        chosen = super().get_transport_cls()  # type: ignore[no-untyped-call]  # for the same reason
        return Transport if chosen is redis.Transport else chosen


class ForgivingAMQP(AMQP):
    """What Celery makes its connections with."""

    Connection = ForgivingConnection
