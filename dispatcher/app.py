"""The Celery application of producers and routers. Configured from wake.toml when it is first used, never at import."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.entity import Queue

from dispatcher import names
from dispatcher.config import Config, load
from dispatcher.embedded import expected_url, server_url
from dispatcher.store.connect import kombu_options, kombu_url
from dispatcher.store.opened import Store, open_store

_adopted: list[Config] = []


def current_config() -> Config:
    """The configuration of this process: `WAKE_CONFIG` or `./wake.toml`, and the environment. Raises ConfigError."""
    if not _adopted:
        _adopted.append(load())
    return _adopted[0]


def adopt_config(config: Config) -> Config:
    """Makes a changed configuration the one of this process, which keeps its connections. Who holds the old one goes on with it."""
    store = current_store().configured(config)
    _adopted[:] = [config]
    _stores[:] = [store]
    return config


_stores: list[Store] = []


def current_store() -> Store:
    """The open store of this process. Raises ConfigError, or StoreUnavailable when no embedded server runs."""
    if not _stores:
        config = current_config()
        _stores.append(open_store(config, server_url(config), client_name=f"wake-{os.getpid()}"))
    return _stores[0]


def forget_current() -> None:
    """Reads configuration and server anew at the next use. A reload keeps the connections instead: `adopt_config`."""
    _adopted.clear()
    _stores.clear()


def use_config(path: str) -> Config:
    """Makes the file at `path` the configuration of this process and of those it starts. Raises ConfigError."""
    os.environ["WAKE_CONFIG"] = str(Path(path).absolute())
    forget_current()
    return current_config()


def make_app(main: str, settings: Callable[[], dict[str, Any]]) -> Celery:
    """An application that asks for its settings at first use and does not become the host program's current one."""
    app = Celery(
        main,
        set_as_current=False,
        amqp="dispatcher.broker:ForgivingAMQP",
        control="dispatcher.broker:QuietControl",
        task_cls="dispatcher.broker:PlainTask",
    )
    app.add_defaults(settings)
    app.on_after_finalize.connect(_only_ours)
    return app


def _only_ours(sender: Celery, **_: object) -> None:
    """Celery's own tasks start others, anywhere, with the rights of the worker that runs them; nothing of ours uses them."""
    for name in [name for name in sender.tasks if name.startswith("celery.")]:
        sender.tasks.unregister(name)


def producer_settings() -> dict[str, Any]:
    """Settings of producers and routers."""
    config = current_config()
    queue = names.inbox_queue(config.redis.prefix)
    return base_settings(config, expected_url(config), "inbox") | {
        "task_queues": [Queue(queue, routing_key=queue)],
        "task_default_queue": queue,
        "task_routes": {name: {"queue": queue} for name in (names.EXEC_COMPLETED, names.WAKE_REQUESTED, names.ROUTE)},
    }


def base_settings(config: Config, url: str, pool: str) -> dict[str, Any]:
    """What every process of ours shares. A message is a hint here, so it is acknowledged early; Celery keeps no results."""
    unacked = f"{config.redis.prefix}.{pool}.unacked"
    wait_s = config.redis.socket_timeout_ms / 1000
    broker = kombu_url(url)
    return {
        "broker_url": broker,
        "broker_read_url": broker,
        "broker_write_url": broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # One queue key instead of four: a poll names every queue once for each priority step.
            "priority_steps": [0],
            "queue_order_strategy": "round_robin",
            # Keys of their own for each pool, so that a pool's server user cannot touch another's messages.
            "unacked_key": unacked,
            "unacked_index_key": f"{unacked}_index",
            "unacked_mutex_key": f"{unacked}_mutex",
            # Without these a publish to a dead peer hangs for ever.
            "socket_timeout": wait_s,
            "socket_connect_timeout": config.redis.connect_timeout_ms / 1000,
            "health_check_interval": 15,
            "max_retries": 1,
            **kombu_options(url, config.redis),
        },
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # A typo in a queue name is an error, not a queue that nobody serves.
        "task_create_missing_queues": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "enable_utc": True,
        # A limit, not a number kept open. Flower asks nine things at once, each on two connections, and with few waits for itself for ever.
        "broker_pool_limit": 32,
    }


app = make_app("dispatcher", producer_settings)
