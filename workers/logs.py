"""What a process of ours says: one line per event on stderr. Celery is kept from setting up its own."""

from __future__ import annotations

import logging

from celery import signals

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def install(level: str = "INFO") -> None:
    """Replaces the handlers of the root logger. Celery's chatter about single tasks is left out below WARNING."""

    def configure(**_: object) -> None:
        logging.basicConfig(level=level, format=FORMAT, force=True)
        for name in ("celery.worker.strategy", "celery.app.trace", "kombu"):
            logging.getLogger(name).setLevel("WARNING")

    signals.setup_logging.connect(configure, weak=False)
    configure()
