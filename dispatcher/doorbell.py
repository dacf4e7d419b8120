"""The doorbell: a Celery message that says "look into this mailbox". It may be lost, doubled or late; the due index is the truth."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celery import Celery
from kombu.entity import Queue

from dispatcher import names
from dispatcher.config import Config

log = logging.getLogger(__name__)


class Doorbell:
    """Rings agents. Publishing errors are logged and swallowed: the sweep rings again."""

    def __init__(self, app: Celery, config: Config) -> None:
        self._app, self._config = app, config

    def queue_of(self, agent_id: str, pool: str) -> str:
        """The queue of the agent's partition as of now."""
        redis = self._config.redis
        return names.agent_queue(redis.prefix, pool, names.slot_of(agent_id, redis.slots), self._config.pool(pool).partitions)

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        """One doorbell for each (agent id, pool), in one pipeline. Returns how many went out: all or, on an error, 0."""
        bells = list(agents)
        if not bells:
            return 0
        try:
            with self._app.producer_pool.acquire(block=True) as producer, producer.batch():
                for agent_id, pool in bells:
                    queue = self.queue_of(agent_id, pool)
                    self._app.send_task(
                        names.HEARTBEAT,
                        args=(agent_id,),
                        producer=producer,
                        queue=Queue(queue, routing_key=queue),
                        retry=False,
                        ignore_result=True,
                    )
        except Exception as error:  # noqa: BLE001  # kombu raises what its transport raises; a doorbell is a hint, whatever went wrong
            log.warning("ring %d agents: %s; the sweep rings again", len(bells), error)
            return 0
        return len(bells)
