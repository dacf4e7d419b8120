"""Celery messages that say "look" and nothing else. Celery makes the first one of a task; the others are its copies under ids of their own.

To have each one made and sent by it costs several times what the step of the store before it costs, and a wake needs two of them.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.utils.uuid import uuid

from dispatcher.store.wire import Wire, packed

GAP = "a-gap-to-fill"


class _Mould(NamedTuple):
    """A message with gaps where messages differ, and what follows the arguments in its body."""

    text: str
    rest_of_body: list[Any]


class Hints:
    """Messages of one task of one application, whose arguments are texts. Safe for threads, and after a fork."""

    def __init__(self, app: Celery, task: str) -> None:
        self._app, self._task = app, task

    def publish(self, wire: Wire, hints: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """One message for each (queue, arguments), in one round trip. Raises what the connection raises; then some may be out."""
        texts: dict[str, list[str]] = {}
        for queue, args in hints:
            texts.setdefault(queue, []).append(self.text(queue, args))
        for reply in wire.exchange([packed("LPUSH", queue, *of) for queue, of in texts.items()]):
            if isinstance(reply, Exception):
                raise reply

    def text(self, queue: str, args: tuple[str, ...]) -> str:
        """A new message as it lies in the queue."""
        mould = self._mould
        body = b64encode(json.dumps([list(args), *mould.rest_of_body]).encode()).decode()
        text = mould.text
        for name, part in {"queue": queue, "id": uuid(), "tag": uuid(), "argsrepr": repr(args), "body": body}.items():
            text = text.replace(f'"{GAP}.{name}"', json.dumps(part))
        return text

    @cached_property
    def _mould(self) -> _Mould:
        # What lies in this memory after a publish is what would lie on the server.
        with Connection("memory://") as memory:
            self._app.send_task(
                self._task,
                task_id=f"{GAP}.id",
                root_id=f"{GAP}.id",
                argsrepr=f"{GAP}.argsrepr",
                kwargsrepr="{}",
                producer=self._app.amqp.Producer(memory, auto_declare=False),
                queue=Queue(f"{GAP}.queue", routing_key=f"{GAP}.queue"),
                retry=False,
                ignore_result=True,
            )
            message = memory.default_channel._get(f"{GAP}.queue")
        _, *rest = json.loads(b64decode(message["body"]))
        message["body"], message["properties"]["delivery_tag"] = f"{GAP}.body", f"{GAP}.tag"
        message["headers"]["parent_id"] = None  # whichever task happened to be running when the first one was made
        return _Mould(json.dumps(message), rest)
